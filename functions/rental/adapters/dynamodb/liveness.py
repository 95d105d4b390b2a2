"""The liveness table: one small item per host, written for every report that is news."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rental.domain.ids import HostId
from rental.ports import Sighting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoLiveness:
    """The port `Liveness` over its own table."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def advance(self, sighting: Sighting) -> bool:
        try:
            self._client.put_item(
                TableName=self._name,
                Item={
                    "host_id": {"N": str(sighting.host_id)},
                    "boot_id": {"S": sighting.boot_id},
                    "seq": {"N": str(sighting.seq)},
                    "sent_at": {"N": str(sighting.sent_at)},
                    "seen_at": {"N": str(sighting.seen_at)},
                },
                # the host is new, or goes on counting: its sequence never falls, whatever it boots
                ConditionExpression="attribute_not_exists(host_id) OR seq < :seq",
                ExpressionAttributeValues={":seq": {"N": str(sighting.seq)}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def last_seen(self, host_id: HostId) -> int | None:
        answer = self._client.get_item(TableName=self._name, Key={"host_id": {"N": str(host_id)}}, ConsistentRead=True)
        return int(answer["Item"]["seen_at"]["N"]) if "Item" in answer else None
