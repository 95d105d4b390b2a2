"""Owners say where a host is reached; contracts keep their numbers, and follow to another address."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from rental.adapters.store import ItemStore
from rental.domain.allocation import Manifest, enter_claim
from rental.domain.contract import Contract, Launch, Sealed
from rental.domain.errors import HostNotReadyError, HostRetiredError, InvalidRequestError, NotFoundError
from rental.domain.host import HostStatus, MachineKey
from rental.domain.ids import ContractId, HostId
from rental.domain.lifecycle import InstanceStatus
from rental.domain.ways_in import ContainerPort, Direct
from rental.ports import Principal
from rental.service.opening import Opening
from tests.fakes.builders import DIRECT, HOST
from tests.fakes.world import World, client, owner, stranger

RANGE = (20_000, 20_999)
LARGEST_ITEM_BYTES = 288_865
WEB = Launch("alpine:3", ports=(ContainerPort(8080, "tcp"),))


def test_what_is_declared_is_where_new_contracts_are_published() -> None:
    world = World().add_host()
    world.opening.declare_direct(HOST, owner, "203.0.113.5", *RANGE)
    assert world.manifest().direct == DIRECT
    contract = world.rent(launch=WEB)
    assert (contract.address, contract.instances[0].ports[0].host) == ("203.0.113.5", 20_000)
    world.opening.withdraw_direct(HOST, owner)
    assert world.manifest().direct is None
    assert world.read(contract.id) == contract


def test_declaring_the_same_again_changes_nothing() -> None:
    world = World().add_host(direct=DIRECT)
    contract, rev = world.rent(launch=WEB), world.manifest().rev
    world.opening.declare_direct(HOST, owner, "203.0.113.5", *RANGE)
    assert (world.manifest().rev, world.read(contract.id)) == (rev, contract)


def test_published_contracts_follow_to_another_address_with_their_numbers() -> None:
    world = World().add_host(direct=DIRECT)
    contract, unpublished = world.rent_active(launch=WEB), world.rent_active()
    world.opening.declare_direct(HOST, owner, "203.0.113.77", 30_000, 30_009)
    moved = world.read(contract.id)
    assert (moved.address, moved.instances) == ("203.0.113.77", contract.instances)
    assert world.read(unpublished.id) == unpublished
    assert world.rent(launch=WEB).instances[0].ports[0].host == 30_000


def test_many_contracts_follow_in_as_many_commits_as_they_need() -> None:
    """Each as large as a client can make it: what one transaction may measure counts too."""
    world = World().add_host(gpus=64, direct=DIRECT)
    world.renting = replace(world.renting, sealer=HeavySealer())
    contracts = [world.rent(launch=WEB, disk_gib=1) for _ in range(64)]
    world.opening.declare_direct(HOST, owner, "203.0.113.77", *RANGE)
    assert {world.read(each.id).address for each in contracts} == {"203.0.113.77"}


class HeavySealer:
    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed:
        return Sealed(key.key_id, "s" * LARGEST_ITEM_BYTES)


@dataclass(frozen=True)
class Overtaken(ItemStore):
    """Each of `meanwhile` happens right after one more read of the manifest, the last first; `between` that of the
    contracts and the next."""

    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    between: list[Callable[[], object]] = field(default_factory=list)

    def read_contracts(self, contract_ids: Iterable[ContractId]) -> Sequence[Contract]:
        contracts = super().read_contracts(contract_ids)
        if self.between:
            self.between.pop()()
        return contracts

    def read_manifest(self, host_id: HostId) -> Manifest | None:
        manifest = super().read_manifest(host_id)
        if self.meanwhile:
            self.meanwhile.pop()()
        return manifest


def test_of_two_declarations_at_once_the_later_one_stands_everywhere() -> None:
    world = World().add_host(direct=DIRECT)
    contract = world.rent_active(launch=WEB)

    def declare_later() -> None:
        world.opening.declare_direct(HOST, owner, "203.0.113.99", *RANGE)

    store = Overtaken(world.table, world.store.new_commit_id, [declare_later, lambda: None])
    Opening(replace(world.ledger, store=store), allow_loopback=False).declare_direct(HOST, owner, "203.0.113.6", *RANGE)
    assert world.manifest().direct == Direct("203.0.113.99", *RANGE)
    assert world.read(contract.id).address == "203.0.113.99"


def test_what_is_entered_of_a_contract_while_the_same_address_is_declared_stays() -> None:
    world = World().add_host(direct=DIRECT)
    contract = world.rent_active(launch=WEB)
    world.contracts.stop_contract(contract.id, client, None)
    world.hear(contract.id, "stopped")

    def start() -> None:
        world.contracts.start_contract(contract.id, client, None)

    store = Overtaken(world.table, world.store.new_commit_id, between=[start])
    Opening(replace(world.ledger, store=store), allow_loopback=False).declare_direct(
        HOST, owner, DIRECT.address, 20_000, 21_999
    )
    started = world.read(contract.id)
    assert (
        world.manifest().claims[contract.id].instances
        == enter_claim(world.manifest(), started).claims[contract.id].instances
    )
    world.hear(contract.id, "running")
    assert world.read(contract.id).instances[0].status is InstanceStatus.RUNNING


@pytest.mark.parametrize("who", [stranger, client])
def test_anothers_host_is_not_found(who: Principal) -> None:
    world = World().add_host()
    with pytest.raises(NotFoundError):
        world.opening.declare_direct(HOST, who, "203.0.113.5", *RANGE)
    with pytest.raises(NotFoundError):
        world.opening.withdraw_direct(HOST, who)
    with pytest.raises(NotFoundError):
        world.opening.withdraw_direct(HostId(9), owner)


def test_a_host_that_is_not_there_yet_or_any_more_is_reached_nowhere() -> None:
    world = World().add_host()
    joining = world.hosts.add_host(owner, "").host.id
    with pytest.raises(HostNotReadyError):
        world.opening.declare_direct(joining, owner, "203.0.113.5", *RANGE)
    world.retiring.retire_host(HOST, owner, HostStatus.REVOKED)
    with pytest.raises(HostRetiredError):
        world.opening.declare_direct(HOST, owner, "203.0.113.5", *RANGE)


def test_an_address_that_makes_no_sense_changes_nothing() -> None:
    world = World().add_host(direct=DIRECT)
    with pytest.raises(InvalidRequestError):
        world.opening.declare_direct(HOST, owner, "127.0.0.1", *RANGE)
    assert world.manifest().direct == DIRECT
