"""Runs every released definition in the emulator: waits, tokens, timeouts by another hand than our walker's."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError

from local.ports import free_port
from tests.statemachines.walking import load, released

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

pytestmark = pytest.mark.cloud

ROLE = "arn:aws:iam::000000000000:role/test"
REGION = "us-east-1"
PATIENCE_S = 30.0
SCRIPT = {
    "route": "provision",
    "provision": "wait_for_end",
    "expire": "wait_for_deletion",
    "delete": "done",
    "abandon": "failed",
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    scratch = str(tmp_path_factory.mktemp("emulator"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": scratch,
        "TMPDIR": scratch,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "DOCKER_HOST": f"unix://{scratch}/none.sock",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    with (Path(scratch) / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log)
    try:
        yield _answering(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def function(endpoint: str) -> str:
    made = _client("lambda", endpoint).create_function(
        FunctionName="step",
        Runtime="python3.13",
        Role=ROLE,
        Handler="scripted_step.handler",
        Code={"ZipFile": _zipped(Path(__file__).with_name("scripted_step.py"))},
        Environment={"Variables": {"SCRIPT": json.dumps(SCRIPT)}},
        Timeout=20,
    )
    arn: str = made["FunctionArn"]
    return arn


@pytest.fixture(scope="module", params=released())
def machine(request: pytest.FixtureRequest, endpoint: str, function: str) -> str:
    definition = load(released()[request.param])
    definition["States"]["provision"]["TimeoutSeconds"] = 2
    text = json.dumps(definition).replace("${StepFunctionArn}", function)
    name = f"contract-v{request.param}"
    made = _client("stepfunctions", endpoint).create_state_machine(name=name, definition=text, roleArn=ROLE)
    arn: str = made["stateMachineArn"]
    return arn


def test_a_plain_rental_lives_through_all_its_states(endpoint: str, machine: str) -> None:
    ends = int(time.time()) + 3
    states, outcome = _run(_client("stepfunctions", endpoint), machine, {"contract_id": ends, "run": 1})
    assert outcome["status"] == "SUCCEEDED"
    assert states == [
        *("route", "decide", "provision", "decide", "wait_for_end", "expire", "decide"),
        *("wait_for_deletion", "delete", "decide", "done"),
    ]
    assert ends + 1 <= outcome["stopDate"].timestamp() <= ends + 5


def test_a_host_that_never_answers_is_abandoned(endpoint: str, machine: str) -> None:
    states, outcome = _run(_client("stepfunctions", endpoint), machine, {"contract_id": int(time.time()), "run": 2})
    assert (outcome["status"], outcome["error"]) == ("FAILED", "ContractFailed")
    assert states == ["route", "decide", "provision", "abandon", "decide", "failed"]


def _run(client: "SFNClient", machine: str, given: dict[str, int]) -> tuple[list[str], dict[str, Any]]:
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]
    deadline = time.monotonic() + PATIENCE_S
    while (outcome := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.1)
    events = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    details = [event["stateEnteredEventDetails"] for event in events if "stateEnteredEventDetails" in event]
    return [detail["name"] for detail in details], dict(outcome)


def _client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _answering(endpoint: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            _client("stepfunctions", endpoint).list_state_machines()
        except BotoCoreError:
            assert time.monotonic() < deadline, "the emulator does not start"
            time.sleep(0.1)
        else:
            return endpoint


def _zipped(source: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(source, source.name)
    return buffer.getvalue()
