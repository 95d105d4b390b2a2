"""Commands that come twice, late or in the wrong order, by the real way: SSM, its document, the agent, the daemon."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.client import wait_until
from local.demo.readings import Readings, read_limits
from local.site import Running
from rental.service.dispatching import encode
from tests.e2e.renting import rent, wait_for_instance

pytestmark = pytest.mark.slow

OVER = ("Success", "Failed", "TimedOut", "Cancelled")


class Wire:
    """What was sent to the host, to be sent again."""

    def __init__(self, running: Running) -> None:
        self._ssm = running.cloud.client("ssm")

    def commands(self) -> list[Any]:
        pages = self._ssm.get_paginator("list_commands").paginate()
        return [command for page in pages for command in page["Commands"]]

    def sent(self, contract: dict[str, Any], generation: int) -> dict[str, Any]:
        """The command that carried this generation of the contract's instance, as the host read it."""
        found = [
            body
            for command in self.commands()
            for body in [_decoded(command["Parameters"]["Order"][0])]
            if any((o["instance_id"], o["generation"]) == (contract["id"], generation) for o in body["orders"])
        ]
        own = [order for order in found[0]["orders"] if order["instance_id"] == contract["id"]]
        return {**found[0], "orders": own}

    def send(self, body: dict[str, Any]) -> str:
        """Send it, with the document and to the machine of all the others; what the host said of it."""
        known = self.commands()[0]
        to = known["InstanceIds"][0]
        sent = self._ssm.send_command(
            InstanceIds=[to], DocumentName=known["DocumentName"], Parameters={"Order": [encode(body)]}
        )
        asked = {"CommandId": sent["Command"]["CommandId"], "InstanceId": to}
        done: Any = wait_until(
            lambda: self._ssm.get_command_invocation(**asked), lambda seen: seen["Status"] in OVER, "its outcome"
        )
        return str(done["StandardOutputContent"] + done["StandardErrorContent"])


@pytest.fixture
def wire(running: Running) -> Iterator[Wire]:
    yield Wire(running)


def test_a_command_that_comes_again_and_again_has_one_effect(running: Running, wire: Wire) -> None:
    contract = rent(running)
    before = reading(running, contract)
    body = wire.sent(contract, 1)
    for _ in range(2):
        assert json.loads(wire.send(body))["accepted"] == [contract["id"]]
    assert reading(running, contract) == before


def test_commands_from_the_past_change_nothing(running: Running, wire: Wire) -> None:
    contract = rent(running)
    running.client.post(f"/v1/contracts/{contract['id']}/stop")
    wait_for_instance(running, contract, "stopped")
    running.client.post(f"/v1/contracts/{contract['id']}/start")
    wait_for_instance(running, contract, "running")
    before = reading(running, contract)
    for generation in (2, 1, 2):
        assert "is older than 3" in wire.send(wire.sent(contract, generation))
    later = wire.sent(contract, 3)["orders"][0] | {"generation": 4, "desired": "stopped", "token": None}
    late = wire.sent(contract, 3) | {"not_after": int(time.time()) - 1, "orders": [later]}
    assert "too late" in wire.send(late)
    assert reading(running, contract) == before


def test_a_lease_from_the_past_gets_no_gpu_of_who_holds_it_now(running: Running, wire: Wire) -> None:
    first = rent(running)
    old = wire.sent(first, 1)
    running.client.delete(f"/v1/contracts/{first['id']}")
    wait_for_instance(running, first, "removed")
    second = rent(running)
    assert second["gpus"] == first["gpus"]
    before = reading(running, second)
    stranger = old["orders"][0] | {"contract_id": first["id"] + 1, "instance_id": first["id"] + 1}
    assert "is older than" in wire.send(old)
    assert "is refused" in wire.send(old | {"orders": [stranger]})
    assert reading(running, second) == before


def reading(running: Running, contract: dict[str, Any]) -> Readings:
    """Its process among other things."""
    return read_limits(running.docker_host, contract["id"])


def _decoded(order: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(order + "=" * (-len(order) % 4)))
    return decoded
