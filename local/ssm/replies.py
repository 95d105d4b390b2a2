"""What an agent's reply means for an invocation. Pure: a reply in, the new record out.

    Pending ──► InProgress ──► Success | Failed | TimedOut | Cancelled
       │             └──► Cancelling ──► (the same four)
       └──► Cancelled | TimedOut (DeliveryTimedOut) | Undeliverable

A final status stays: a late or repeated reply changes nothing.
"""

import json
from dataclasses import replace
from typing import Any

from local.ssm.errors import ValidationError
from local.ssm.model import Invocation, JsonObject

MAX_STDOUT_CHARS = 24_000
MAX_STDERR_CHARS = 8_000
MAX_OUTPUT_CHARS = 2_500
MAX_TRACE_CHARS = 2_500

_FINAL_DETAILS = {
    "Success": "Success",
    "Failed": "Failed",
    "TimedOut": "ExecutionTimedOut",
    "Cancelled": "Cancelled",
}


def parse_reply(payload: str) -> JsonObject:
    """Read a reply's payload."""
    try:
        reply = json.loads(payload)
    except ValueError as error:
        raise ValidationError(f"The reply's payload is not JSON: {error}") from error
    if not isinstance(reply, dict) or not isinstance(reply.get("documentStatus"), str):
        raise ValidationError("The reply's payload has no documentStatus.")
    return reply


def apply_reply(invocation: Invocation, reply: JsonObject) -> Invocation:
    """Return the invocation after this reply."""
    if invocation.is_over:
        return invocation
    status = reply["documentStatus"]
    changed = replace(
        invocation,
        steps={**invocation.steps, **_steps(reply.get("runtimeStatus"))},
        trace=str(reply.get("documentTraceOutput") or "")[:MAX_TRACE_CHARS] or invocation.trace,
    )
    if status in _FINAL_DETAILS:
        return replace(changed, status=status, status_details=_FINAL_DETAILS[status])
    return start(changed)


def start(invocation: Invocation) -> Invocation:
    """Note that the machine has the command; one that is being cancelled stays so."""
    if invocation.is_over or invocation.status == "Cancelling":
        return invocation
    return replace(invocation, status="InProgress", status_details="InProgress")


def end(invocation: Invocation, status: str, details: str) -> Invocation:
    """Give an invocation a final status that no agent reported."""
    return replace(invocation, status=status, status_details=details)


def overdue(invocation: Invocation, now: float, *, is_online: bool) -> Invocation:
    """Return the invocation as it is at this time: unchanged, or out of time."""
    if invocation.is_over:
        return invocation
    if invocation.acknowledged:
        return end(invocation, "TimedOut", "ExecutionTimedOut") if now >= invocation.finish_before else invocation
    if now < invocation.deliver_before:
        return invocation
    if is_online:
        return end(invocation, "TimedOut", "DeliveryTimedOut")
    return end(invocation, "Undeliverable", "Undeliverable")


def _steps(runtime_status: Any) -> dict[str, JsonObject]:
    if not isinstance(runtime_status, dict):
        return {}
    return {str(name): _step(status) for name, status in runtime_status.items() if isinstance(status, dict)}


def _step(status: JsonObject) -> JsonObject:
    code = status.get("code")
    return {
        "status": str(status.get("status", "")),
        "code": code if isinstance(code, int) else -1,
        "name": str(status.get("name", "")),
        "output": str(status.get("output", ""))[:MAX_OUTPUT_CHARS],
        "standardOutput": str(status.get("standardOutput", ""))[:MAX_STDOUT_CHARS],
        "standardError": str(status.get("standardError", ""))[:MAX_STDERR_CHARS],
        "startDateTime": str(status.get("startDateTime", "")),
        "endDateTime": str(status.get("endDateTime", "")),
    }
