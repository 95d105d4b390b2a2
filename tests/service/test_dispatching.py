"""Dispatch: one command per host with what the table says now, in the words of the schema."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rental.domain.book import Bell
from rental.domain.contract import Contract
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.service.dispatching import COMMAND_VALID_S
from tests.fakes.builders import HOST
from tests.fakes.world import SECRETS, World, client, decode_command, owner

SCHEMAS = Path(__file__).parents[2] / "schemas"


def validate(name: str, value: Any) -> None:
    jsonschema.validate(value, json.loads((SCHEMAS / name).read_text()))


def dispatched(world: World, *contracts: Contract) -> Any:
    """The command that went out for these contracts."""
    bells = [Bell(HOST, each.id, instance.id, 1, False) for each in contracts for instance in each.instances]
    assert world.dispatching.dispatch(HOST, bells) == len(bells)
    node, order = world.commands.sent[-1]
    assert node == "mi-7"
    assert re.fullmatch(r"[A-Za-z0-9_-]+", order)
    return decode_command(order)


def test_bells_are_joined_by_host() -> None:
    bells = [Bell(HostId(each % 2), ContractId(each), InstanceId(each), 1, False) for each in range(5)]
    grouped = World().dispatching.group(bells)
    assert {host: [bell.contract_id for bell in rung] for host, rung in grouped.items()} == {0: [0, 2, 4], 1: [1, 3]}


def test_what_is_pending_for_a_host_goes_in_one_command() -> None:
    world = World().add_host()
    command = dispatched(world, world.rent(), world.rent(num_gpus=2, instances=2))
    validate("command.v1.json", command)
    assert len(world.commands.sent) == 1
    assert command["not_after"] == world.clock.now() + COMMAND_VALID_S
    assert [order["gpus"][0]["index"] for order in command["orders"]] == [0, 2, 3]
    assert [order["token"] for order in command["orders"]] == [1, 2, 3]


def test_an_order_says_until_when_its_start_is_waited_for() -> None:
    world = World().add_host()
    contract = world.rent()
    assert dispatched(world, contract)["orders"][0]["start_by"] == contract.provision_by
    world.hear(contract.id, "running")
    assert dispatched(world, contract)["orders"][0]["start_by"] is None


def test_a_bell_rung_twice_is_one_order() -> None:
    world = World().add_host()
    contract = world.rent()
    bell = Bell(HOST, contract.id, InstanceId(contract.id), 1, False)
    assert world.dispatching.dispatch(HOST, [bell, bell]) == 1


def test_an_order_says_what_is_wanted_now_not_what_was_when_the_bell_rang() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None)
    (order,) = dispatched(world, contract)["orders"]
    assert (order["desired"], order["generation"], order["token"]) == ("stopped", 2, None)


def test_an_order_holds_the_limits_of_its_share_and_no_secret() -> None:
    world = World().add_host()
    command = dispatched(world, world.rent())
    (order,) = command["orders"]
    assert (order["limits"]["gpus"], order["limits"]["cpu_weight_permille"]) == ("1/4", 250)
    assert order["gpus"] == [{"index": 0, "uuid": "GPU-0000"}]
    assert not any(secret in json.dumps(command) for secret in (*SECRETS["env"], "hunter2", "sealed"))  # type: ignore[misc]


def test_a_host_that_nobody_knows_is_sent_nothing() -> None:
    world = World()
    assert world.dispatching.dispatch(HOST, [Bell(HOST, ContractId(1), InstanceId(1), 1, False)]) == 0
    assert world.add_host().dispatching.dispatch(HOST, [Bell(HOST, ContractId(1), InstanceId(1), 1, False)]) == 0
    assert world.commands.sent == []


@pytest.mark.parametrize("stage", ["pending", "active", "waiting", "waiting-ending", "expired", "extended", "ending"])
def test_orders_and_manifests_follow_their_schemas_in_every_stage(stage: str) -> None:
    world = World().add_host(gpus=1)
    contract, wanted = staged(world, stage)
    command = dispatched(world, contract)
    validate("command.v1.json", command)
    assert [order["desired"] for order in command["orders"]] == [wanted]
    state = world.machines.manifest(HOST)
    validate("manifest.v1.json", {"response": {"v": 1, "host_id": HOST, **asdict(state)}})
    assert command["orders"][0] in state.orders


def staged(world: World, stage: str) -> tuple[Contract, str]:
    """A contract in this stage, and what its host must be told."""
    if stage == "pending":
        return world.rent(), "running"
    contract = world.rent_active()
    if stage in ("waiting", "waiting-ending"):
        world.contracts.stop_contract(contract.id, client, None)
        world.hear(contract.id, "stopped")
        world.rent_active()
        world.contracts.start_contract(contract.id, client, None)
        if stage == "waiting":
            return contract, "stopped"
    if stage in ("ending", "waiting-ending"):
        world.contracts.end_contract(contract.id, client)
        return contract, "absent"
    if stage in ("expired", "extended"):
        world.clock.at = contract.end_at
        world.life.expire(contract.id, 1)
    if stage == "extended":
        world.contracts.extend_contract(contract.id, owner, contract.end_at + 3600)
    return contract, "running" if stage == "active" else "stopped"
