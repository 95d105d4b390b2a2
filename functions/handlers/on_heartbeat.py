"""Plain heartbeats, in batches from a queue: observe each."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from handlers.logs import logger
from handlers.reports import take_report
from rental.domain.errors import RentalError


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    failed = []
    for record in event["Records"]:
        try:
            take_report(json.loads(record["body"])["detail"])
        except (ClientError, BotoCoreError, RentalError) as error:
            logger.error("report not taken", extra={"why": str(error)})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
