"""Logs and commands, from the client's request to the container and back; SSM and the table see nothing of them."""

from __future__ import annotations

import json
import time

import pytest

from local.client import ApiError, wait_until
from local.site import Running
from tests.e2e.renting import rent, wait_for_instance

MARKER = "told-to-nobody-else"
TALKER = ["sh", "-c", f"trap exit TERM; echo {MARKER}; echo oops >&2; sleep 3600 & wait"]


def test_a_client_reads_logs_and_runs_a_command_and_nobody_else_sees_them(running: Running) -> None:
    contract = rent(running, args=TALKER)
    path = f"/v1/contracts/{contract['id']}"
    logs = wait_until(lambda: running.client.get(f"{path}/logs"), lambda seen: len(seen["items"]) == 2, "Two lines")
    assert {(each["stream"], each["text"]) for each in logs["items"]} == {("stdout", MARKER), ("stderr", "oops")}
    assert running.client.get(f"{path}/logs?cursor={logs['next']}")["items"] == []

    began = time.monotonic()
    ran = running.client.post(f"{path}/exec", {"command": ["printf", "%s", f"{MARKER} $(id)"]})
    print(f"exec answered after {time.monotonic() - began:.2f} s")
    assert ran == {"exit_code": 0, "stdout": f"{MARKER} $(id)", "stderr": "", "truncated": False}

    tables = running.cloud.client("dynamodb")
    items = tables.scan(TableName=running.cloud.outputs["TableName"])["Items"]
    assert MARKER not in json.dumps(items, default=str)
    ssm = running.cloud.client("ssm")
    history = [ssm.list_commands()["Commands"], ssm.list_command_invocations(Details=True)["CommandInvocations"]]
    assert MARKER not in json.dumps(history, default=str)


def test_what_a_stopped_instance_wrote_can_still_be_read(running: Running) -> None:
    contract = rent(running, args=TALKER)
    path = f"/v1/contracts/{contract['id']}"
    running.client.post(f"{path}/stop")
    wait_for_instance(running, contract, "stopped")
    assert MARKER in {each["text"] for each in running.client.get(f"{path}/logs")["items"]}
    with pytest.raises(ApiError, match="only while it is running"):
        running.client.post(f"{path}/exec", {"command": ["true"]})


def test_the_owner_of_the_host_is_not_answered(running: Running) -> None:
    contract = rent(running)
    with pytest.raises(ApiError) as refusal:
        running.owner.get(f"/v1/contracts/{contract['id']}/logs")
    assert refusal.value.status in (403, 404)
