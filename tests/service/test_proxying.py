"""The proxy leads to what is wanted running now, and to nothing else."""

import pytest

from rental.domain.contract import Contract, Launch
from rental.domain.host import HostStatus
from rental.domain.ids import HostId
from rental.service.proxying import Binding
from tests.fakes.builders import HOST, PROXY
from tests.fakes.world import World, client, owner


def rent_behind_proxy(world: World, **changes: object) -> Contract:
    return world.rent_active(launch=Launch("alpine:3", mode="jupyter"), **changes)


def test_each_instance_that_is_wanted_running_is_led_to_by_its_own_numbers() -> None:
    world = World(proxy=PROXY).add_host()
    contract = rent_behind_proxy(world, num_gpus=2, instances=2)
    assert world.proxying.bindings_of_host(HOST) == [
        Binding(each.id, each.proxy_ssh_port, each.proxy_jupyter_port) for each in contract.instances
    ]
    assert len({port for each in contract.instances for port in each.proxy_ports}) == 4


def test_what_has_no_number_is_not_led_to() -> None:
    world = World(proxy=PROXY).add_host()
    world.rent_active()
    assert world.proxying.bindings_of_host(HOST) == []


@pytest.mark.parametrize("deed", ["stop", "end", "expire"])
def test_what_is_stopped_over_or_expired_is_led_to_no_more(deed: str) -> None:
    world = World(proxy=PROXY).add_host()
    contract = rent_behind_proxy(world)
    if deed == "stop":
        world.contracts.stop_contract(contract.id, client, None)
    elif deed == "end":
        world.contracts.end_contract(contract.id, client)
    else:
        world.clock.advance(3600)
    assert world.proxying.bindings_of_host(HOST) == []


def test_nothing_is_led_to_on_a_host_that_is_unknown_or_given_up() -> None:
    world = World(proxy=PROXY).add_host()
    rent_behind_proxy(world)
    world.retiring.retire_host(HOST, owner, HostStatus.REVOKED)
    assert world.proxying.bindings_of_host(HOST) == []
    assert world.proxying.bindings_of_host(HostId(8)) == []
