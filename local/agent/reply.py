"""Replies, shaped exactly as the real agent's."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.agent.plan import SHELL_ACTION
from local.agent.script import ScriptResult

AGENT_NAME = "gpulease-agent"
AGENT_VERSION = "1.0.0.0"
MAX_OUTPUT_CHARS = 2400

_ERROR_TITLE = "\n----------ERROR-------\n"


def iso_millis(time: float) -> str:
    """Write a time as replies do."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def reply_payload(now: float, status: str, steps: Mapping[str, Any] | None = None, trace: str = "") -> str:
    """Write a reply: the document's status, and what is known of its steps."""
    counts = dict(Counter(step["status"] for step in steps.values())) if steps else None
    reply = {
        "additionalInfo": {
            "agent": {"lang": "en-US", "name": AGENT_NAME, "os": "linux", "osver": "1", "ver": AGENT_VERSION},
            "dateTime": iso_millis(now),
            "runId": "",
            "runtimeStatusCounts": counts,
            "ableToOpenMGSConnection": False,
        },
        "documentStatus": status,
        "documentTraceOutput": trace,
        "runtimeStatus": dict(steps) if steps else None,
    }
    return json.dumps(reply, separators=(",", ":"))


def step_status(result: ScriptResult, started_at: float, ended_at: float) -> dict[str, Any]:
    """Describe a step that ended."""
    return {
        "status": result.status,
        "code": result.code,
        "name": SHELL_ACTION,
        "output": _joined(result.stdout, result.stderr),
        "startDateTime": iso_millis(started_at),
        "endDateTime": iso_millis(ended_at),
        "outputS3BucketName": "",
        "outputS3KeyPrefix": "",
        "stepName": "",
        "standardOutput": result.stdout,
        "standardError": result.stderr,
    }


def document_status(steps: Mapping[str, Any]) -> str:
    """Sum up the steps: the worst counts."""
    statuses = {step["status"] for step in steps.values()}
    return next((worst for worst in ("Cancelled", "TimedOut", "Failed") if worst in statuses), "Success")


def _joined(stdout: str, stderr: str) -> str:
    joined = stdout + _ERROR_TITLE + stderr if stderr else stdout
    return joined[:MAX_OUTPUT_CHARS]
