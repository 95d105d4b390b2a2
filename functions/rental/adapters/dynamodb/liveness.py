"""The liveness table: one small item per host, written twice for every report that is news."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rental.domain.ids import HostId
from rental.domain.liveness import Phase, Presence

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoLiveness:
    """The port `Liveness` over its own table."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def read(self, host_id: HostId) -> Presence | None:
        answer = self._client.get_item(TableName=self._name, Key={"host_id": {"N": str(host_id)}}, ConsistentRead=True)
        return _load(answer["Item"]) if "Item" in answer else None

    def swap(self, before: Presence | None, after: Presence) -> Presence | None:
        read = before.rev if before is not None else 0
        written = replace(after, rev=read + 1)
        try:
            self._client.put_item(TableName=self._name, Item=_dump(written), **_condition(read))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        return written

    def list_all(self) -> Iterator[Presence]:
        pages: Any = self._client.get_paginator("scan").paginate(TableName=self._name, ConsistentRead=True)
        for page in pages:
            yield from map(_load, page["Items"])


def _condition(read: int) -> Any:
    if read == 0:
        # the host is new, or its item is older than revisions
        return {"ConditionExpression": "attribute_not_exists(rev)"}
    # nobody has written since it was read
    return {"ConditionExpression": "rev = :read", "ExpressionAttributeValues": {":read": {"N": str(read)}}}


def _dump(presence: Presence) -> Any:
    return {
        "host_id": {"N": str(presence.host_id)},
        "boot_id": {"S": presence.boot_id},
        "since_seq": {"N": str(presence.since_seq)},
        "seq": {"N": str(presence.seq)},
        "sent_at": {"N": str(presence.sent_at)},
        "seen_at": {"N": str(presence.seen_at)},
        "phase": {"S": presence.phase.value},
        "rev": {"N": str(presence.rev)},
    }


def _load(item: Any) -> Presence:
    """An item from before revisions has neither `since_seq`, `phase` nor `rev`."""
    return Presence(
        host_id=HostId(int(item["host_id"]["N"])),
        boot_id=item["boot_id"]["S"],
        since_seq=int(item.get("since_seq", item["seq"])["N"]),
        seq=int(item["seq"]["N"]),
        sent_at=int(item["sent_at"]["N"]),
        seen_at=int(item["seen_at"]["N"]),
        phase=Phase(item["phase"]["S"]) if "phase" in item else Phase.SETTLED,
        rev=int(item["rev"]["N"]) if "rev" in item else 0,
    )
