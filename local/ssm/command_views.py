"""How commands and their invocations look in API answers: shapes only, nothing decided here."""

from datetime import datetime

from local.ssm.model import Command, Invocation, JsonObject


def command_view(command: Command, invocations: list[Invocation]) -> JsonObject:
    """The Command of SendCommand and ListCommands."""
    over = [invocation for invocation in invocations if invocation.is_over]
    status = command_status(invocations)
    return {
        "CommandId": command.command_id,
        "DocumentName": command.document_name,
        "DocumentVersion": str(command.document_version),
        "Comment": command.comment,
        "ExpiresAfter": command.requested_at + command.timeout_s,
        "Parameters": command.parameters,
        "InstanceIds": command.instance_ids,
        "Targets": [],
        "RequestedDateTime": command.requested_at,
        "Status": status,
        "StatusDetails": status,
        "OutputS3BucketName": "",
        "OutputS3KeyPrefix": "",
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": len(invocations),
        "CompletedCount": len(over),
        "ErrorCount": sum(invocation.status in ("Failed", "TimedOut") for invocation in over),
        "DeliveryTimedOutCount": sum(invocation.status_details == "DeliveryTimedOut" for invocation in over),
        "ServiceRole": "",
        "TimeoutSeconds": command.timeout_s,
    }


def command_status(invocations: list[Invocation]) -> str:
    """Sum up the invocations of a command: not over before all are, then the worst."""
    statuses = [invocation.status for invocation in invocations]
    if not all(invocation.is_over for invocation in invocations):
        started = any(status != "Pending" for status in statuses)
        return "Cancelling" if "Cancelling" in statuses else "InProgress" if started else "Pending"
    for worst in ("Failed", "TimedOut", "Undeliverable", "Cancelled"):
        if worst in statuses:
            return worst
    return "Success"


def step_views(invocation: Invocation) -> list[JsonObject]:
    """The CommandPlugins of an invocation."""
    return [
        {
            "Name": name,
            "Status": step["status"],
            "StatusDetails": step["status"],
            "ResponseCode": step["code"],
            "ResponseStartDateTime": _epoch(step["startDateTime"]),
            "ResponseFinishDateTime": _epoch(step["endDateTime"]),
            "Output": step["output"],
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "OutputS3BucketName": "",
            "OutputS3KeyPrefix": "",
        }
        for name, step in invocation.steps.items()
    ]


def invocation_view(command: Command, invocation: Invocation, name: str, *, details: bool) -> JsonObject:
    """One entry of ListCommandInvocations."""
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "InstanceName": name,
        "Comment": command.comment,
        "DocumentName": command.document_name,
        "DocumentVersion": str(command.document_version),
        "RequestedDateTime": invocation.requested_at,
        "Status": invocation.status,
        "StatusDetails": invocation.status_details,
        "TraceOutput": invocation.trace,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": step_views(invocation) if details else [],
        "ServiceRole": "",
    }


def invocation_result_view(command: Command, invocation: Invocation, step_name: str) -> JsonObject:
    """The answer of GetCommandInvocation for one step."""
    step = invocation.steps.get(step_name, {})
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document_name,
        "DocumentVersion": str(command.document_version),
        "PluginName": step_name,
        "ResponseCode": step.get("code", -1),
        "ExecutionStartDateTime": step.get("startDateTime", ""),
        "ExecutionElapsedTime": _elapsed(step),
        "ExecutionEndDateTime": step.get("endDateTime", ""),
        "Status": invocation.status,
        "StatusDetails": invocation.status_details,
        "StandardOutputContent": step.get("standardOutput", ""),
        "StandardOutputUrl": "",
        "StandardErrorContent": step.get("standardError", "") or invocation.trace,
        "StandardErrorUrl": "",
    }


def _epoch(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _elapsed(step: JsonObject) -> str:
    start, finish = _epoch(step.get("startDateTime", "")), _epoch(step.get("endDateTime", ""))
    if start is None or finish is None:
        return ""
    return f"PT{round(finish - start, 3)}S"
