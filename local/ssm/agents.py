"""What agents call: the message delivery service, from long poll to final reply.

A message belongs to the machine at the end of its id, and only that machine's session may speak of it.
"""

from dataclasses import replace

from local.ssm.access import Access
from local.ssm.delivery import Delivery
from local.ssm.errors import SsmError
from local.ssm.model import Cancellation, Invocation, JsonObject, ManagedInstance
from local.ssm.nodes import Nodes
from local.ssm.replies import apply_reply, end, parse_reply, start
from local.ssm.request import Request
from local.ssm.store import Store

DEFAULT_VISIBILITY_S = 10
MAX_VISIBILITY_S = 43_200


class Agents:
    """The operations of EC2WindowsMessageDeliveryService."""

    def __init__(self, store: Store, access: Access, *, nodes: Nodes, delivery: Delivery, poll_s: float) -> None:
        self._store = store
        self._access = access
        self._nodes = nodes
        self._delivery = delivery
        self._poll_s = poll_s

    async def get_messages(self, request: Request) -> JsonObject:
        """GetMessages: answers at once when something is due, else waits for it."""
        instance_id = request.text("Destination")
        self._access.require_node(request.caller, "ec2messages:GetMessages", instance_id)
        self._nodes.instance(instance_id)
        visibility_s = request.integer("VisibilityTimeoutInSeconds", DEFAULT_VISIBILITY_S, 1, MAX_VISIBILITY_S)
        messages = await self._delivery.mailbox.poll(instance_id, visibility_s, self._poll_s)
        return {
            "Destination": instance_id,
            "Messages": messages,
            "MessagesRequestId": request.text("MessagesRequestId", ""),
        }

    def acknowledge(self, request: Request) -> JsonObject:
        """AcknowledgeMessage: the machine will act on it. Refused when it came too late, then it must not act."""
        record = self._message(request, "ec2messages:AcknowledgeMessage")
        if isinstance(record, Cancellation):
            self._delivery.drop(record)
        elif record is not None and not record.acknowledged:
            if record.is_over:
                raise _no_such_message(request)
            self._delivery.save(record, replace(start(record), acknowledged=True))
        return {}

    def send_reply(self, request: Request) -> JsonObject:
        """SendReply: how a command fares; of a cancellation nothing is kept."""
        record = self._message(request, "ec2messages:SendReply")
        reply = parse_reply(request.text("Payload"))
        if isinstance(record, Invocation):
            self._delivery.save(record, apply_reply(record, reply))
        return {}

    def fail(self, request: Request) -> JsonObject:
        """FailMessage: the agent cannot take the message."""
        record = self._message(request, "ec2messages:FailMessage")
        if isinstance(record, Cancellation):
            self._delivery.drop(record)
        elif record is not None and not record.is_over:
            trace = f"The agent refused the message: {request.text('FailureType', 'unknown')}"
            self._delivery.save(record, replace(end(record, "Undeliverable", "Undeliverable"), trace=trace))
        return {}

    def delete(self, request: Request) -> JsonObject:
        """DeleteMessage: do not deliver it again."""
        record = self._message(request, "ec2messages:DeleteMessage")
        if isinstance(record, Cancellation):
            self._delivery.drop(record)
        elif record is not None:
            self._delivery.mailbox.discard(record.instance_id, record.key)
        return {}

    def end_all(self, instance: ManagedInstance) -> None:
        """End what can no longer reach a machine that was deregistered."""
        for invocation in self._store.all(Invocation):
            if invocation.instance_id == instance.instance_id and not invocation.is_over:
                self._delivery.save(invocation, end(invocation, "Undeliverable", "Undeliverable"))
        for cancellation in self._store.all(Cancellation):
            if cancellation.instance_id == instance.instance_id:
                self._delivery.drop(cancellation)

    def _message(self, request: Request, action: str) -> Invocation | Cancellation | None:
        """Find what a message id names; None for a cancellation that is done with, or a command long forgotten."""
        key = request.text("MessageId")
        self._access.require_node(request.caller, action, key.rsplit(".", 1)[-1])
        return self._store.find(Invocation, key) or self._store.find(Cancellation, key)


def _no_such_message(request: Request) -> SsmError:
    return SsmError("InvalidMessageId", f"The message {request.text('MessageId')} is not waiting for this machine.")
