"""The agent's half of the protocol, message by message, against a courier that the test holds."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from local.agent.courier import Courier
from local.agent.ledger import Ledger
from local.agent.plan import RefusedDocumentError, read_plan, substitute
from local.agent.runner import Runner
from local.agent.wire import JsonObject, RefusedError, UnreachableError
from tests.ssm.endpoint import wait_until
from tests.ssm.world import command_document


class HeldCourier(Courier):
    """Notes what is said; refuses or loses acknowledgements as told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.refuse = False
        self.lose = 0

    def reply(self, message_id: str, payload: str) -> None:
        self.said.append((message_id, json.loads(payload)["documentStatus"]))

    def insist_reply(self, message_id: str, payload: str) -> None:
        self.reply(message_id, payload)

    def acknowledge(self, message_id: str) -> None:
        if self.lose:
            self.lose -= 1
            raise UnreachableError("lost")
        self.said.append((message_id, "ack"))
        if self.refuse:
            raise RefusedError("InvalidMessageId", "too late")

    def insist_acknowledge(self, message_id: str) -> bool:
        self.said.append((message_id, "ack"))
        return not self.refuse

    def fail(self, message_id: str) -> None:
        self.said.append((message_id, "fail"))


class Bench:
    """A runner with a held courier and a real ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.courier = HeldCourier()
        self.open()

    def open(self) -> None:
        """Start a runner over the ledger as it is on disk."""
        self.runner = Runner(
            self.courier,
            Ledger(self.folder / "ledger"),
            folder=self.folder / "orchestration",
            environment={"PATH": "/usr/bin:/bin"},
            clock=time.time,
        )
        self.runner.start()

    def message(self, message_id: str, script: str, order: str = "abc") -> JsonObject:
        """A message that runs a script."""
        payload = {"Parameters": {"Order": order}, "DocumentContent": command_document(script), "CommandId": "c"}
        return {"MessageId": message_id, "Topic": "aws.ssm.sendCommand.us.east.1", "Payload": json.dumps(payload)}

    def settle(self) -> list[tuple[str, str]]:
        """Wait until nothing is in hand; return what was said."""
        wait_until(self.runner.is_idle)
        return self.courier.said

    def runs(self) -> int:
        path = self.folder / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_message_delivered_twice_runs_once(bench: Bench) -> None:
    message = bench.message("m", f"echo run >> {bench.folder}/runs; sleep 0.2")
    bench.runner.take(message)
    bench.runner.take(message)
    bench.settle()
    bench.runner.take(message)
    said = ["InProgress", "ack", "ack", "InProgress", "Success", "ack"]
    assert [what for _, what in bench.settle()] == said
    assert bench.runs() == 1


def test_a_message_refused_as_too_late_never_runs(bench: Bench) -> None:
    bench.courier.refuse = True
    bench.runner.take(bench.message("m", f"echo run >> {bench.folder}/runs"))
    bench.settle()
    bench.open()
    assert bench.settle() == [("m", "InProgress"), ("m", "ack")]
    assert bench.runs() == 0


def test_a_lost_acknowledgement_is_repeated_before_the_script_runs(bench: Bench) -> None:
    bench.courier.lose = 1
    bench.runner.take(bench.message("m", f"echo run >> {bench.folder}/runs"))
    assert [what for _, what in bench.settle()] == ["InProgress", "ack", "InProgress", "Success"]
    assert bench.runs() == 1


def test_an_accepted_command_is_acknowledged_again_after_a_crash_and_then_run(bench: Bench) -> None:
    Ledger(bench.folder / "ledger").accept("m", bench.message("m", f"echo run >> {bench.folder}/runs")["Payload"])
    bench.open()
    assert bench.settle() == [("m", "ack"), ("m", "InProgress"), ("m", "Success")]
    assert bench.runs() == 1


def test_an_accepted_command_that_is_too_late_after_a_crash_is_not_run(bench: Bench) -> None:
    Ledger(bench.folder / "ledger").accept("m", bench.message("m", f"echo run >> {bench.folder}/runs")["Payload"])
    bench.courier.refuse = True
    bench.open()
    assert bench.settle() == [("m", "ack")]
    assert bench.runs() == 0


def test_a_cancelled_command_that_still_waits_is_never_started(bench: Bench) -> None:
    for number in range(5):
        bench.runner.take(bench.message(f"busy{number}", "sleep 0.5"))
    bench.runner.take(bench.message("m", f"echo run >> {bench.folder}/runs"))
    cancel = {"MessageId": "x", "Topic": "aws.ssm.cancelCommand.us.east.1", "Payload": '{"CancelMessageId": "m"}'}
    bench.runner.take(cancel)
    assert ("m", "Cancelled") in bench.settle()
    assert bench.runs() == 0


def test_what_is_not_understood_is_returned(bench: Bench) -> None:
    bench.runner.take({"MessageId": "m", "Topic": "aws.ssm.somethingElse", "Payload": "{}"})
    bench.runner.take({"MessageId": "n", "Topic": "aws.ssm.cancelCommand.us.east.1", "Payload": "nonsense"})
    bench.runner.take({"MessageId": "o", "Topic": "aws.ssm.sendCommand.us.east.1", "Payload": "nonsense"})
    assert bench.settle() == [("m", "fail"), ("n", "fail"), ("o", "Failed")]


def test_steps_run_in_order_and_the_worst_counts(bench: Bench) -> None:
    document = command_document("exit 3")
    document["mainSteps"].append({**document["mainSteps"][0], "name": "second"})
    document["mainSteps"][1] = {
        **document["mainSteps"][1],
        "inputs": {"runCommand": [f"echo run >> {bench.folder}/runs"]},
    }
    payload = json.dumps({"Parameters": {"Order": "a"}, "DocumentContent": document})
    bench.runner.take({"MessageId": "m", "Topic": "aws.ssm.sendCommand.us.east.1", "Payload": payload})
    assert [what for _, what in bench.settle()] == ["InProgress", "ack", "InProgress", "InProgress", "Failed"]
    assert bench.runs() == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schemaVersion": "1.2"}, "schema version"),
        ({"mainSteps": [{"action": "aws:other", "name": "a", "inputs": {}}]}, "aws:other is not supported"),
        ({"mainSteps": [{"action": "aws:runShellScript", "name": "a", "inputs": {}}]}, "runCommand"),
        ({"parameters": {"Order": {"type": "String", "allowedPattern": "a{4096}"}}}, "compiling allowed pattern"),
        ({"parameters": {"Order": {"type": "String", "allowedValues": ["x"]}}}, "AllowedValueParamValidator"),
    ],
)
def test_a_document_that_cannot_run_is_refused_whole(change: dict[str, Any], reason: str) -> None:
    payload = {"Parameters": {"Order": "abc"}, "DocumentContent": {**command_document("true"), **change}}
    with pytest.raises(RefusedDocumentError, match=reason):
        read_plan(json.dumps(payload))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ Order }}", "v"),
        ("{{Order}}", "v"),
        ("a '{{ Order }}' {{Order}}", "a 'v' v"),
        ("{{ Other }}", "{{ Other }}"),
        ("{ { Order } }", "{ { Order } }"),
    ],
)
def test_parameters_are_put_where_they_are_named(text: str, result: str) -> None:
    assert substitute(text, {"Order": "v"}) == result


def test_a_backslash_in_a_value_stays_what_it_is() -> None:
    assert substitute("'{{ Order }}'", {"Order": r"\1 \g<0> $1"}) == r"'\1 \g<0> $1'"
