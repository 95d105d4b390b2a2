"""What goes out by itself: messages to agents, and the event that tells of a changed status."""

import json
from datetime import UTC, datetime

from local.ssm.documents import wire_parameters
from local.ssm.model import Cancellation, Command, Invocation, JsonObject, message_id


def command_message(command: Command, instance_id: str, region: str) -> JsonObject:
    """The message that hands a command to an agent."""
    payload = {
        "Parameters": wire_parameters(command.content, command.parameters),
        "DocumentContent": command.content,
        "CommandId": command.command_id,
        "DocumentName": command.document_name,
        "OutputS3BucketName": "",
        "OutputS3KeyPrefix": "",
        "CloudWatchLogGroupName": "",
        "CloudWatchOutputEnabled": "false",
    }
    return _message(command.command_id, instance_id, "sendCommand", region, command.requested_at, payload)


def cancel_message(cancellation: Cancellation, region: str) -> JsonObject:
    """The message that ends a command an agent has taken."""
    payload = {"CancelMessageId": message_id(cancellation.command_id, cancellation.instance_id)}
    return _message(
        cancellation.cancellation_id,
        cancellation.instance_id,
        "cancelCommand",
        region,
        cancellation.requested_at,
        payload,
    )


def status_event(invocation: Invocation, region: str, account_id: str) -> JsonObject:
    """The EventBridge entry (as PutEvents takes it) that tells of a changed invocation."""
    detail = {
        "command-id": invocation.command_id,
        "document-name": invocation.document_name,
        "instance-id": invocation.instance_id,
        "requested-date-time": _iso_utc(invocation.requested_at),
        "status": invocation.status,
    }
    return {
        "Source": "aws.ssm",
        "DetailType": "EC2 Command Invocation Status-change Notification",
        "Detail": json.dumps(detail),
        "Resources": [f"arn:aws:ssm:{region}:{account_id}:managed-instance/{invocation.instance_id}"],
    }


def _message(
    own_id: str, instance_id: str, topic: str, region: str, created_at: float, payload: JsonObject
) -> JsonObject:
    return {
        "CreatedDate": _iso_utc(created_at),
        "Destination": instance_id,
        "MessageId": message_id(own_id, instance_id),
        "Topic": f"aws.ssm.{topic}.{region.replace('-', '.')}",
        "Payload": json.dumps(payload),
        "PayloadDigest": "",
    }


def _iso_utc(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
