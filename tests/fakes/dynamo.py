"""The tables in moto, as the data stack makes them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def create_table(client: "DynamoDBClient", name: str) -> None:
    """The one table with its three indexes."""
    numbers = {"next_due"}
    names = ["pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk", "gsi3pk", "next_due"]
    indexes: Any = [
        _index("GSI1", "gsi1pk", "gsi1sk", "ALL"),
        _index("GSI2", "gsi2pk", "gsi2sk", "ALL"),
        _index("GSI3", "gsi3pk", "next_due", "KEYS_ONLY"),
    ]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=_keys("pk", "sk"),
        AttributeDefinitions=[
            {"AttributeName": each, "AttributeType": "N" if each in numbers else "S"} for each in names
        ],
        GlobalSecondaryIndexes=indexes,
    )


def create_liveness_table(client: "DynamoDBClient", name: str) -> None:
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "host_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "host_id", "AttributeType": "N"}],
    )


def _index(name: str, pk: str, sk: str, projection: str) -> Any:
    return {"IndexName": name, "KeySchema": _keys(pk, sk), "Projection": {"ProjectionType": projection}}


def _keys(pk: str, sk: str) -> Any:
    return [{"AttributeName": pk, "KeyType": "HASH"}, {"AttributeName": sk, "KeyType": "RANGE"}]
