"""Bells from both queues become one command per host. The only function that may send commands."""

import json
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from handlers.logs import logger
from rental.adapters import wiring
from rental.adapters.settings import CommandSettings, from_env
from rental.adapters.sqs import load_bell
from rental.adapters.ssm import SsmCommands
from rental.adapters.system import SystemClock
from rental.service.dispatching import Dispatching


@cache
def dispatching() -> Dispatching:
    commands = SsmCommands(wiring.client("ssm"), from_env(CommandSettings).command_document_name)
    return Dispatching(wiring.store(), commands, SystemClock())


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    records = {record["messageId"]: load_bell(json.loads(record["body"])) for record in event["Records"]}
    failed: list[str] = []
    for host_id, bells in dispatching().group(records.values()).items():
        try:
            orders = dispatching().dispatch(host_id, bells)
        except (ClientError, BotoCoreError) as error:
            logger.error("not dispatched", extra={"host_id": host_id, "bells": len(bells), "why": str(error)})
            failed += [message_id for message_id, bell in records.items() if bell.host_id == host_id]
        else:
            logger.info("dispatched", extra={"host_id": host_id, "bells": len(bells), "orders": orders})
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
