"""Plain heartbeats, in batches from a queue: observe each."""

from typing import Any

from handlers.logs import logger
from handlers.reports import take_body


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Whatever goes wrong with one report, it alone is delivered again: hosts share a batch, and nothing else."""
    failed = []
    for record in event["Records"]:
        try:
            take_body(record["body"])
        except Exception as error:  # noqa: BLE001 -- of a dependency or ours: it must not take the others along
            logger.error("report not taken", extra={"kind": type(error).__name__, "why": str(error)}, exc_info=error)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
