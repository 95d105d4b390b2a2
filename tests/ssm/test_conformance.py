"""The service answers a recorded run of the real agent, call by call, as it was answered then."""

import asyncio
import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.ssm.service import SsmService
from local.ssm.sigv4 import parse_authorization, string_to_sign
from tests.ssm.world import DOCUMENT_NAME, ListedIds, World, node, rsa_public_key

TRANSCRIPT = Path(__file__).parent / "data" / "agent_transcript.jsonl"
INSTANCE_ID = "mi-0123456789abcdef0"

JsonObject = dict[str, Any]


def read_transcript() -> list[JsonObject]:
    return [json.loads(line) for line in TRANSCRIPT.read_text().splitlines()]


def messages_of(lines: list[JsonObject]) -> list[JsonObject]:
    return [message for line in lines for message in line["response"].get("Messages", [])]


class Replay:
    """Plays the calls of the recorded agent, and the callers whose commands it got."""

    def __init__(self, folder: Path, lines: list[JsonObject]) -> None:
        names = [message["MessageId"].split(".")[2] for message in messages_of(lines)]
        self.world = World(folder, ids=ListedIds("11111111-2222-3333-4444-555555555555", *names))
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.world.ok("CreateActivation", {"IamRole": "HostRole"})

    def play(self, line: JsonObject) -> tuple[int, JsonObject]:
        """Make the recorded call and return the answer."""
        target, fields = line["headers"]["X-Amz-Target"], line["request"]
        for message in line["response"].get("Messages", []):
            self._cause(message)
        if target.endswith("RegisterManagedInstance"):
            fields = {**fields, "PublicKey": rsa_public_key(self.key)}
            answer = self.world.call(target, fields, None)
        elif target.endswith("RequestManagedInstanceRoleToken"):
            answer = self.world.call(target, None, None, **self._signed_headers(line["headers"]))
        else:
            answer = self.world.call(target, fields, node(INSTANCE_ID))
        return answer.status, answer.body

    def _cause(self, message: JsonObject) -> None:
        """Do what the recorded service was asked to do for this message to appear."""
        self.world.clock.now = datetime.fromisoformat(message["CreatedDate"]).timestamp()
        payload = json.loads(message["Payload"])
        if "CancelMessageId" in payload:
            self.world.ok("CancelCommand", {"CommandId": payload["CancelMessageId"].split(".")[2]})
            return
        self.world.service.put_document(DOCUMENT_NAME, payload["DocumentContent"])
        open_command(self.world.service, payload["Parameters"])

    def _signed_headers(self, recorded: dict[str, str]) -> dict[str, str]:
        """Sign with our key what the recorded agent signed with its own, under the headers it named."""
        self.world.clock.now = datetime.fromisoformat("2026-01-01T12:00:00+00:00").timestamp()
        headers = {name.lower(): value for name, value in recorded.items()}
        headers |= {"host": "127.0.0.1:4566", "x-amz-date": "20260101T120000Z"}
        text = string_to_sign(parse_authorization(headers), headers, b"").encode()
        signature = base64.b64encode(self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
        headers["authorization"] = headers["authorization"].rpartition("Signature=")[0] + f"Signature={signature}"
        return headers


def open_command(service: SsmService, parameters: dict[str, str]) -> None:
    """Hand out a command past the caller's parameter check, so that the agent's own check is seen."""

    async def opened() -> None:
        document = service.library.document(DOCUMENT_NAME)
        service.commands.open(document, {name: [value] for name, value in parameters.items()}, [INSTANCE_ID], 120, "")

    asyncio.run(opened())


def shape(value: Any) -> Any:
    """Reduce an answer to its names and types; a message's payload is looked into."""
    if isinstance(value, dict):
        return {name: shape(json.loads(item) if name == "Payload" else item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def test_every_recorded_call_gets_an_answer_of_the_recorded_shape(tmp_path: Path) -> None:
    lines = read_transcript()
    replay = Replay(tmp_path, lines)
    for number, line in enumerate(lines):
        status, answer = replay.play(line)
        assert (status, shape(answer)) == (line["status"], shape(line["response"])), number


def test_messages_are_the_recorded_ones_to_the_letter(tmp_path: Path) -> None:
    lines = read_transcript()
    replay = Replay(tmp_path, lines)
    for line in lines:
        _, answer = replay.play(line)
        for ours, recorded in zip(answer.get("Messages", []), line["response"].get("Messages", []), strict=True):
            assert json.loads(ours.pop("Payload")) == json.loads(recorded.pop("Payload"))
            assert ours == recorded


@pytest.mark.parametrize(
    ("number", "status", "details", "code", "stdout", "stderr"),
    [
        (0, "Success", "Success", 0, "eyJ2IjoxfQ", ""),
        (1, "Failed", "Failed", 3, "out\n", "err\nfailed to run commands: exit status 3"),
        (2, "Failed", "Failed", -1, "", "all errors during param validation errors"),
        (3, "Cancelled", "Cancelled", 137, "", ""),
    ],
)
def test_the_recorded_replies_are_what_a_caller_sees(
    tmp_path: Path, number: int, status: str, details: str, code: int, stdout: str, stderr: str
) -> None:
    lines = read_transcript()
    replay = Replay(tmp_path, lines)
    for line in lines:
        replay.play(line)
    command_id = messages_of(lines)[number]["MessageId"].split(".")[2]
    seen = replay.world.result(command_id, INSTANCE_ID)
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == (status, details, code)
    assert seen["StandardOutputContent"] == stdout
    assert seen["StandardErrorContent"].startswith(stderr)
