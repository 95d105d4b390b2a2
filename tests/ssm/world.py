"""A local SSM for tests: time, names, rights and sessions are the test's."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local.ssm.nodes import IssuedCredentials
from local.ssm.service import Response, SsmService
from local.ssm.sigv4 import Caller, KnownKey

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
STAGE_TAG = {"gpulease:stage": "local"}
DOCUMENT_NAME = "GpuLease-local-Command"
ORDER_PATTERN = "^[A-Za-z0-9_-]+$"
ADMIN = Caller(f"arn:aws:iam::{ACCOUNT_ID}:root", "AKIAADMIN")

JsonObject = dict[str, Any]


def command_document(script: str, timeout_s: int = 60) -> JsonObject:
    """The project's Command document with another script in it."""
    return {
        "schemaVersion": "2.2",
        "description": "accept",
        "parameters": {"Order": {"type": "String", "allowedPattern": ORDER_PATTERN}},
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "accept",
                "inputs": {"timeoutSeconds": str(timeout_s), "runCommand": [script]},
            }
        ],
    }


def rsa_public_key(key: rsa.RSAPrivateKey) -> str:
    """Write a key's public half as registration wants it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


class FakeClock:
    """A clock that stands still until told."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ListedIds:
    """Names in the order given, then numbered ones."""

    def __init__(self, *uuids: str) -> None:
        self._uuids: Iterator[str] = iter(uuids)
        self._count = 0

    def uuid(self) -> str:
        return next(self._uuids, None) or f"00000000-0000-4000-8000-{self._number():012d}"

    def activation_code(self) -> str:
        return "abcdefghij0123456789"

    def instance_id(self) -> str:
        return "mi-0123456789abcdef0" if self._count == 0 else f"mi-{self._number():017x}"

    def _number(self) -> int:
        self._count += 1
        return self._count


@dataclass
class Rights:
    """Who may do what: rules of (end of the caller's ARN, action, start of the resource, condition)."""

    everything: bool = True
    rules: list[tuple[str, str, str, Mapping[str, str]]] = field(default_factory=list)
    asked: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)

    def __call__(self, caller: Caller, action: str, resource: str, context: Mapping[str, str]) -> bool:
        self.asked.append((caller.arn, action, resource, dict(context)))
        return self.everything or any(
            caller.arn.endswith(who)
            and action == what
            and resource.startswith(where)
            and all(context.get(key) == value for key, value in condition.items())
            for who, what, where, condition in self.rules
        )


class Sessions:
    """Sessions of roles, and the keys of the verifier."""

    def __init__(self, lifetime_s: float = 3600) -> None:
        self.keys: dict[str, KnownKey] = {"AKIAADMIN": KnownKey(ADMIN.arn, "admin-secret")}
        self.issued = 0
        self.lifetime_s = lifetime_s

    def issue(self, role_name: str, session_name: str) -> IssuedCredentials:
        """Open a session as the launcher does."""
        self.issued += 1
        key_id, expires_at = f"ASIA{self.issued:016d}", time.time() + self.lifetime_s
        self.keys[key_id] = KnownKey(
            node_arn(session_name, role_name), f"secret-{key_id}", f"token-{key_id}", expires_at
        )
        return IssuedCredentials(key_id, f"secret-{key_id}", f"token-{key_id}", expires_at)

    def forget(self) -> None:
        """Lose all sessions, as an emulator that starts anew does."""
        for key_id in [key_id for key_id in self.keys if key_id.startswith("ASIA")]:
            del self.keys[key_id]


def node_arn(instance_id: str, role_name: str = "HostRole") -> str:
    """The ARN of a managed node's session."""
    return f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role_name}/{instance_id}"


def node(instance_id: str) -> Caller:
    """A managed node as a caller."""
    return Caller(node_arn(instance_id), "ASIANODE")


class World:
    """A service with fakes around it, called without a web server."""

    def __init__(self, folder: Path, *, ids: ListedIds | None = None, poll_s: float = 0.0) -> None:
        self.clock = FakeClock()
        self.rights = Rights()
        self.sessions = Sessions()
        self.events: list[JsonObject] = []
        self.journal_path = folder / "ssm.jsonl"
        self._ids = ids or ListedIds()
        self._poll_s = poll_s
        self.service = self._open()

    def _open(self) -> SsmService:
        return SsmService(
            self.journal_path,
            account_id=ACCOUNT_ID,
            region=REGION,
            authorize=self.rights,
            issue_credentials=self.sessions.issue,
            emit=self.events.append,
            clock=self.clock,
            ids=self._ids,
            poll_s=self._poll_s,
        )

    def reopen(self) -> None:
        """Go on with what is on disk; the old service is not even closed, as after kill -9."""
        self.service = self._open()

    def call(
        self, target: str, fields: JsonObject | None = None, caller: Caller | None = ADMIN, **headers: str
    ) -> Response:
        """Make a call and return the whole answer."""
        name = target if "." in target else f"AmazonSSM.{target}"
        body = b"" if fields is None else json.dumps(fields).encode()
        return asyncio.run(self.service.handle(name, headers, body, caller))

    def ok(self, target: str, fields: JsonObject | None = None, caller: Caller | None = ADMIN) -> JsonObject:
        """Make a call that must succeed."""
        response = self.call(target, fields, caller)
        assert response.status == 200, response
        return response.body

    def refused(self, target: str, fields: JsonObject, caller: Caller | None = ADMIN) -> str:
        """Make a call that must be refused, and return the code."""
        response = self.call(target, fields, caller)
        assert response.status != 200, response
        return str(response.body["__type"])

    def activate(self, **fields: Any) -> JsonObject:
        """Make an activation."""
        tags = [{"Key": key, "Value": value} for key, value in STAGE_TAG.items()]
        return self.ok("CreateActivation", {"IamRole": "HostRole", "Tags": tags, **fields})

    def register(self, key: rsa.RSAPrivateKey | None = None, **activation: Any) -> str:
        """Register a machine and return its id."""
        made = self.activate(**activation)
        public = rsa_public_key(key or rsa.generate_private_key(public_exponent=65537, key_size=2048))
        fields = {**made, "PublicKey": public, "PublicKeyType": "Rsa", "Fingerprint": "f"}
        instance_id = str(self.ok("RegisterManagedInstance", fields, None)["InstanceId"])
        self.ok("UpdateInstanceInformation", {"InstanceId": instance_id, "AgentVersion": "1.0.0.0"}, node(instance_id))
        return instance_id

    def send(self, instance_id: str, order: str = "abc", **fields: Any) -> str:
        """Send a command and return its id."""
        sent = self.ok(
            "SendCommand",
            {"DocumentName": DOCUMENT_NAME, "InstanceIds": [instance_id], "Parameters": {"Order": [order]}, **fields},
        )
        return str(sent["Command"]["CommandId"])

    def poll(self, instance_id: str) -> list[JsonObject]:
        """Take the messages that are due."""
        target = "EC2WindowsMessageDeliveryService.GetMessages"
        fields = {"Destination": instance_id, "MessagesRequestId": "r", "VisibilityTimeoutInSeconds": 10}
        return list(self.ok(target, fields, node(instance_id))["Messages"])

    def acknowledge(self, message_id: str) -> Response:
        """Acknowledge a message as its machine."""
        target = "EC2WindowsMessageDeliveryService.AcknowledgeMessage"
        return self.call(target, {"MessageId": message_id}, node(message_id.rsplit(".", 1)[-1]))

    def reply(self, message_id: str, status: str, **payload: Any) -> None:
        """Reply to a message as its machine."""
        fields = {"MessageId": message_id, "ReplyId": "r", "Payload": json.dumps({"documentStatus": status, **payload})}
        self.ok("EC2WindowsMessageDeliveryService.SendReply", fields, node(message_id.rsplit(".", 1)[-1]))

    def result(self, command_id: str, instance_id: str) -> JsonObject:
        """Look at an invocation."""
        return self.ok("GetCommandInvocation", {"CommandId": command_id, "InstanceId": instance_id})
