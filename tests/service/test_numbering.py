"""Numbers of the proxy are drawn among those that nobody holds, given out once, and come back with the contract."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rental.adapters.items import Guarded, proxy_port_key
from rental.adapters.store import ItemStore
from rental.domain.contract import Contract, Launch
from rental.domain.errors import InvalidRequestError, NoPortsFreeError
from rental.domain.host import HostStatus
from rental.domain.ways_in import Proxy
from rental.service.ledger import ATTEMPTS
from rental.service.numbering import LOOK, LOOKS, draw_proxy_ports
from tests.fakes.builders import HOST, PROXY
from tests.fakes.ssh import make_line
from tests.fakes.world import World, client, owner
from tests.service.test_renting import ONCE, at_once

KEYS = (make_line(1),)
SSH, JUPYTER = Launch("alpine:3", mode="ssh"), Launch("alpine:3", mode="jupyter")


def short(ports: int) -> Proxy:
    return replace(PROXY, last_port=PROXY.first_port + ports - 1)


def held(world: World) -> list[int]:
    return sorted(int(item["pk"][2:]) for item in world.table.items() if item["sk"] == "P")


def take(world: World, ports: range) -> None:
    for start in range(ports.start, ports.stop, 100):
        keys = [proxy_port_key(port) for port in range(start, min(start + 100, ports.stop))]
        world.table.transact([Guarded(key, {"pk": key[0], "sk": key[1], "rev": 1}) for key in keys])


def test_a_contract_holds_its_numbers_from_the_first_moment_until_it_is_gone() -> None:
    world = World(proxy=PROXY).add_host()
    contract = world.rent_active(launch=JUPYTER)
    assert held(world) == sorted(contract.proxy_ports)
    world.contracts.stop_contract(contract.id, client, None)
    world.hear(contract.id, "stopped")
    world.contracts.end_contract(contract.id, client)
    assert held(world) == sorted(contract.proxy_ports)
    world.hear(contract.id, "absent")
    assert held(world) == []
    world.hear(contract.id, "absent")
    assert world.rent(launch=JUPYTER).proxy_ports


def test_mode_args_takes_none() -> None:
    world = World(proxy=PROXY).add_host()
    world.rent()
    assert held(world) == []


def test_a_repeated_request_takes_no_more_numbers() -> None:
    world = World(proxy=PROXY).add_host()
    first = world.rent(ONCE, launch=JUPYTER)
    assert world.rent(ONCE, launch=JUPYTER).proxy_ports == first.proxy_ports
    assert held(world) == sorted(first.proxy_ports)


def test_a_lost_answer_takes_numbers_once() -> None:
    world = World(proxy=PROXY).add_host()
    world.faults.extend(["lost"])
    contract = world.rent(launch=JUPYTER)
    assert held(world) == sorted(contract.proxy_ports)


def test_those_who_rent_at_once_on_several_tries_never_share_a_number() -> None:
    for _ in range(5):
        world = World(proxy=short(8)).add_host(gpus=8)
        outcomes: list[Any] = at_once(8, lambda world=world: world.rent(ssh_keys=KEYS, launch=SSH, disk_gib=1))  # type: ignore[misc]
        made = [each for each in outcomes if isinstance(each, Contract)]
        ports = Counter(port for each in made for port in each.proxy_ports)
        assert made
        assert max(ports.values()) == 1
        assert held(world) == sorted(ports)


def test_the_last_number_is_found_and_after_it_there_is_none() -> None:
    world = World(proxy=short(100)).add_host()
    take(world, range(PROXY.first_port, PROXY.first_port + 99))
    assert world.rent(ssh_keys=KEYS, launch=SSH).proxy_ports == (PROXY.first_port + 99,)
    with pytest.raises(NoPortsFreeError):
        world.rent(ssh_keys=KEYS, launch=SSH)


def test_all_or_none_is_given() -> None:
    world = World(proxy=short(3)).add_host()
    with pytest.raises(NoPortsFreeError):
        world.rent(launch=JUPYTER, num_gpus=2, instances=2)
    assert held(world) == []
    assert not world.manifest().claims


def test_the_search_in_a_long_range_ends() -> None:
    world = World(proxy=PROXY).add_host()
    take(world, range(PROXY.first_port, PROXY.last_port + 1))
    with pytest.raises(NoPortsFreeError):
        draw_proxy_ports(world.ledger, PROXY, 1)
    assert len(PROXY.ports) > LOOK * LOOKS


def test_conflicts_do_not_take_more_numbers() -> None:
    world = World(proxy=PROXY).add_host()
    world.faults.extend(["conflict"] * (ATTEMPTS - 1))
    contract = world.rent(launch=JUPYTER)
    assert held(world) == sorted(contract.proxy_ports)


def test_a_number_that_was_taken_meanwhile_is_drawn_for_again() -> None:
    """By a contract on another host, so that nothing but the number itself stands between the two."""
    world = World(proxy=short(2)).add_host()
    first = range(PROXY.first_port, PROXY.first_port + 1)
    store = Overtaken(world.table, world.store.new_commit_id, [lambda: take(world, first)])
    world.renting = replace(world.renting, ledger=replace(world.ledger, store=store))
    contract = world.rent(ssh_keys=KEYS, launch=SSH)
    assert contract.proxy_ports == (PROXY.first_port + 1,)


@dataclass(frozen=True)
class Overtaken(ItemStore):
    """Each of `meanwhile` happens right after one more look at the numbers."""

    meanwhile: list[Callable[[], object]]

    def read_proxy_ports(self, ports: Sequence[int]) -> frozenset[int]:
        taken = super().read_proxy_ports(ports)
        if self.meanwhile:
            self.meanwhile.pop()()
        return taken


def test_more_instances_than_a_network_has_addresses_are_refused() -> None:
    world = World(proxy=PROXY).add_host(gpus=64)
    with pytest.raises(InvalidRequestError):
        world.rent(launch=JUPYTER, num_gpus=16, instances=16, disk_gib=1)
    assert len(world.rent(launch=JUPYTER, num_gpus=16, instances=8, disk_gib=1).proxy_ports) == 16


def test_many_contracts_of_a_lost_host_give_all_their_numbers_back() -> None:
    world = World(proxy=PROXY).add_host(gpus=64)
    for _ in range(8):
        world.rent_active(launch=JUPYTER, num_gpus=8, instances=8, disk_gib=1)
    assert len(held(world)) == 128
    world.retiring.retire_host(HOST, owner, HostStatus.REVOKED)
    assert world.clearing.sweep() == 8
    assert held(world) == []
