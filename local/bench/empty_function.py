"""A function that does nothing but what every function must: log one line and answer."""

from typing import Any

from aws_lambda_powertools import Logger

logger = Logger()


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    request_id = event["requestContext"]["requestId"]
    logger.info("request", extra={"route": event["routeKey"], "status": 200, "request_id": request_id})
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": "{}"}
