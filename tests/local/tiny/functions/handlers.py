"""The functions of the small application: one answers with what it got, one writes what it got."""

from __future__ import annotations

import importlib.util
import json
import os
from functools import cache
from typing import Any

import boto3


@cache
def _table() -> Any:
    return boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer with the request as it arrived; `/write/<name>` puts an item first."""
    path = event["rawPath"]
    if path.startswith("/write/"):
        _table().put_item(Item={"pk": path, "sk": "A"})
    seen = {
        "body": event.get("body"),
        "is_base64": event.get("isBase64Encoded", False),
        "environment": sorted(os.environ),
        "greeting": os.environ["GREETING"],
        "headers": event["headers"],
        "layer_is_there": importlib.util.find_spec("poison") is not None,
        "method": event["requestContext"]["http"]["method"],
        "path": path,
        "query": event["rawQueryString"],
    }
    return {"statusCode": 201, "headers": {"x-echo": "yes"}, "body": json.dumps(seen)}


def write_records(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Put one item for each record, or one for the event itself."""
    for record in event.get("Records", [{"messageId": event.get("name", "direct"), "body": json.dumps(event)}]):
        detail = json.loads(record["body"])
        _table().put_item(Item={"pk": "record", "sk": detail.get("id", record["messageId"]), "body": record["body"]})
    return {"batchItemFailures": []}
