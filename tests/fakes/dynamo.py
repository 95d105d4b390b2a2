"""The tables in moto, as the data stack makes them."""

import json
from typing import TYPE_CHECKING, Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from tests.conftest import FAKE_CREDENTIALS

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


def items_of(table_name: str) -> list[str]:
    """Every item as JSON, straight from moto's table: a scan through its serializer takes a hundred times as long."""
    table = dynamodb_backends[DEFAULT_ACCOUNT_ID][FAKE_CREDENTIALS["AWS_REGION"]].tables[table_name]
    return [json.dumps(item.to_json(), sort_keys=True) for item in table.all_items()]
