"""The table in DynamoDB: guards as condition expressions, values as DynamoDB types."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rental.adapters.dynamodb.values import dump_value, load_value
from rental.adapters.items import Guarded, Item, Key
from rental.adapters.store import INDEX_KEYS, ConditionFailedError, Query
from rental.domain.errors import InvalidRequestError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH = 100
LOST_RACES = {"ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
TRY_AGAIN = {
    "TransactionInProgressException",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
}


class DynamoTable:
    """The `Table` over one DynamoDB table."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: Key) -> Item | None:
        answer = self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        return _load(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> list[Item]:
        found: list[Item] = []
        for start in range(0, len(keys), BATCH):
            wanted: Any = {"Keys": [_key(key) for key in keys[start : start + BATCH]], "ConsistentRead": True}
            requests: Any = {self._name: wanted}
            while requests:
                answer = self._client.batch_get_item(RequestItems=requests)
                found += [_load(item) for item in answer["Responses"].get(self._name, [])]
                requests = answer.get("UnprocessedKeys")
        return found

    def transact(self, writes: Sequence[Guarded]) -> None:
        try:
            self._client.transact_write_items(TransactItems=[self._write(write) for write in writes])
        except ClientError as error:
            raise _lost(error, writes) from error

    def query(self, query: Query) -> tuple[list[Item], Item | None]:
        pk_name, sk_name = INDEX_KEYS[query.index]
        condition, values = "#pk = :pk", {":pk": {"S": query.pk}}
        if query.sk_prefix:
            condition, values = condition + " AND begins_with(#sk, :sk)", values | {":sk": {"S": query.sk_prefix}}
        if query.due_before is not None:
            condition, values = condition + " AND #sk <= :sk", values | {":sk": {"N": str(query.due_before)}}
        names = {"#pk": pk_name, "#sk": sk_name} if "#sk" in condition else {"#pk": pk_name}
        arguments: Any = {
            "TableName": self._name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "Limit": query.limit,
        }
        if query.index is not None:
            arguments["IndexName"] = query.index
        if query.after is not None:
            arguments["ExclusiveStartKey"] = _start_key(query.after, pk_name, query.pk)
        return self._run(arguments)

    def _run(self, arguments: Any) -> tuple[list[Item], Item | None]:
        try:
            answer = self._client.query(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException" and "ExclusiveStartKey" in arguments:
                raise InvalidRequestError("The cursor is not one of ours. Start again without it.") from error
            raise
        last = answer.get("LastEvaluatedKey")
        items = [_load(item) for item in answer["Items"]]
        return items, {name: str(value) for name, value in _load(last).items()} if last else None

    def _write(self, write: Guarded) -> Any:
        if write.item is None:
            return {"Delete": {"TableName": self._name, "Key": _key(write.key)}}
        put: Any = {
            "TableName": self._name,
            "Item": _dump(write.item),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return {"Put": put | _condition(write)}


def _condition(write: Guarded) -> dict[str, Any]:
    if write.replace_expired_at is not None:
        # nobody has used the key in the last 24 hours
        return {
            "ConditionExpression": "attribute_not_exists(pk) OR #ttl <= :made_at",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {":made_at": {"N": str(write.replace_expired_at)}},
        }
    if write.expected_rev == 0:
        # the id is new
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    if write.expected_rev is not None:
        # nothing in the item has changed since it was read
        return {
            "ConditionExpression": "rev = :read",
            "ExpressionAttributeValues": {":read": {"N": str(write.expected_rev)}},
        }
    return {}


def _lost(error: ClientError, writes: Sequence[Guarded]) -> Exception:
    if error.response["Error"]["Code"] in TRY_AGAIN:
        return ConditionFailedError([])
    reasons: Any = error.response.get("CancellationReasons", [])
    codes = {reason.get("Code") for reason in reasons} - {"None", None}
    if not codes or not codes <= LOST_RACES:
        return error
    return ConditionFailedError(
        [
            (write, _load(reason["Item"]) if reason.get("Item") else None)
            for write, reason in zip(writes, reasons, strict=True)
            if reason.get("Code") == "ConditionalCheckFailed"
        ]
    )


def _key(key: Key) -> Any:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _start_key(after: Item, pk_name: str, pk: str) -> Any:
    values = {**after, pk_name: pk}
    return {name: {"N": value} if name == "next_due" else {"S": value} for name, value in values.items()}


def _dump(item: Item) -> Any:
    return {name: dump_value(value) for name, value in item.items()}


def _load(item: Any) -> Item:
    return {name: load_value(value) for name, value in item.items()}
