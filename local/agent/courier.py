"""The agent's half of the message protocol, and patience with an endpoint that is down."""

import logging
import random
import uuid
from threading import Event

from local.agent.session import RoleSession
from local.agent.wire import JsonObject, RefusedError, UnreachableError

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
VISIBILITY_TIMEOUT_S = 10

log = logging.getLogger(__name__)


class Backoff:
    """Waits that double, with jitter, until something works again."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._wait_s = FIRST_WAIT_S

    def wait(self) -> None:
        """Wait, or return at once when the agent is to stop."""
        self._stop.wait(self._wait_s * random.uniform(0.5, 1.0))
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def reset(self) -> None:
        """Begin again with a short wait."""
        self._wait_s = FIRST_WAIT_S


class Courier:
    """Messages in, replies out."""

    def __init__(self, session: RoleSession, instance_id: str, stop: Event) -> None:
        self._session = session
        self._instance_id = instance_id
        self._stop = stop

    def ping(self, facts: JsonObject) -> None:
        """Tell that this machine lives."""
        self._session.call("ssm", "AmazonSSM.UpdateInstanceInformation", {"InstanceId": self._instance_id, **facts})

    def receive(self) -> list[JsonObject]:
        """Wait for messages; an empty list is normal."""
        answer = self._call(
            "GetMessages",
            {
                "Destination": self._instance_id,
                "MessagesRequestId": str(uuid.uuid4()),
                "VisibilityTimeoutInSeconds": VISIBILITY_TIMEOUT_S,
            },
        )
        return [message for message in answer.get("Messages") or [] if isinstance(message, dict)]

    def reply(self, message_id: str, payload: str) -> None:
        """Send a reply once."""
        self._call("SendReply", {"MessageId": message_id, "Payload": payload, "ReplyId": str(uuid.uuid4())})

    def acknowledge(self, message_id: str) -> None:
        """Take a message; refused when it is too late."""
        self._call("AcknowledgeMessage", {"MessageId": message_id})

    def fail(self, message_id: str) -> None:
        """Return a message that is not understood."""
        self._call("FailMessage", {"MessageId": message_id, "FailureType": "InternalHandlerException"})

    def insist_reply(self, message_id: str, payload: str) -> None:
        """Send a reply until it is answered; a refusal is an answer."""
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                self.reply(message_id, payload)
                return
            except RefusedError as error:
                log.warning("reply to %s refused: %s", message_id, error)
                return
            except UnreachableError:
                backoff.wait()

    def insist_acknowledge(self, message_id: str) -> bool:
        """Acknowledge until it is answered; False if the message is not ours to act on."""
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                self.acknowledge(message_id)
                return True
            except RefusedError as error:
                log.warning("message %s is not taken: %s", message_id, error)
                return False
            except UnreachableError:
                backoff.wait()
        return False

    def _call(self, operation: str, fields: JsonObject) -> JsonObject:
        return self._session.call("ec2messages", f"EC2WindowsMessageDeliveryService.{operation}", fields)
