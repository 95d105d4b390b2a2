"""The step function that the emulator runs in the tests: it answers from its script, and tokens by their own call."""

import json
import os
from datetime import UTC, datetime
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any] | None:
    entry = json.loads(os.environ["SCRIPT"])[event["step"]]
    if event["run"] == 2 and event["step"] == "provision":
        return None  # nobody will answer the token
    answer = {"next": entry, "end_at": _moment(event["contract_id"]), "delete_after": _moment(event["contract_id"] + 1)}
    if "task_token" not in event:
        return answer
    boto3.client("stepfunctions").send_task_success(taskToken=event["task_token"], output=json.dumps(answer))
    return None


def _moment(epoch_s: int) -> str:
    """The tests put the time of the contract's end in its id."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
