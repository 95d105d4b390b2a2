"""A host that is given up: its contracts end without its word, and nothing of it is believed or held any more."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.errors import (
    HostHeardError,
    HostNotReadyError,
    HostOfflineError,
    HostRetiredError,
    NotFoundError,
)
from rental.domain.host import HostStatus
from rental.domain.ids import HostId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.liveness import BURST_LEAST_HOSTS, OFFLINE_AFTER_S
from rental.ports import GuardFailedError, Principal
from rental.service.by_itself import each_by_itself
from rental.service.repeating import Repeatable
from tests.fakes.builders import HOST, OWNER, rent
from tests.fakes.world import World, client, owner

LOST, REVOKED = HostStatus.LOST, HostStatus.REVOKED


def silent() -> World:
    """A listed host that was heard once and then no more."""
    world = World().add_host()
    world.report([])
    return fall_silent(world)


def fall_silent(world: World) -> World:
    world.clock.advance(OFFLINE_AFTER_S)
    assert world.silence.sweep() == 1
    return world


def lose(world: World, status: HostStatus = LOST) -> None:
    world.retiring.retire_host(HOST, owner, status)


def status_of(world: World) -> HostStatus:
    host = world.store.read_host(HOST)
    assert host is not None
    return host.status


def test_a_host_that_reports_is_not_lost() -> None:
    world = World().add_host()
    world.report([])
    with pytest.raises(HostHeardError, match="revoke"):
        lose(world)
    assert status_of(world) is HostStatus.ACTIVE


def test_its_key_is_revoked_while_it_reports() -> None:
    world = World().add_host()
    contract = world.rent_active()
    lose(world, REVOKED)
    assert status_of(world) is REVOKED
    world.clearing.sweep()
    assert world.read(contract.id).status is ContractStatus.DELETED


def test_it_leaves_the_market_at_once_with_all_its_offers() -> None:
    world = silent()
    lose(world)
    assert not world.offers.list_offers(None).items
    with pytest.raises(NotFoundError):
        world.rent()
    with pytest.raises(HostRetiredError):
        world.hosts.unlist(HOST, owner)


def test_its_owner_alone_gives_it_up() -> None:
    world = silent()
    for other in (client, Principal("another", "host")):
        with pytest.raises(NotFoundError):
            world.retiring.retire_host(HOST, other, LOST)
    assert status_of(world) is HostStatus.ACTIVE


def test_a_host_whose_machine_never_came_is_not_lost() -> None:
    world = World()
    host = world.hosts.add_host(owner, "rack").host
    with pytest.raises(HostNotReadyError):
        world.retiring.retire_host(host.id, owner, LOST)


def stopped(world: World) -> Contract:
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None)
    world.hear(contract.id, "stopped")
    return contract


def expired(world: World) -> Contract:
    contract = world.rent_active(duration_s=100)
    world.clock.advance(100)
    world.life.expire(contract.id, 1)
    return contract


def ended(world: World) -> Contract:
    contract = world.rent_active()
    return world.contracts.end_contract(contract.id, client)


def waiting(world: World) -> Contract:
    contract = stopped(world)
    world.rent_active(num_gpus=4)
    return world.contracts.start_contract(contract.id, client, None)


@pytest.mark.parametrize(
    ("make", "end"),
    [
        (World.rent, ContractStatus.FAILED),
        (World.rent_active, ContractStatus.DELETED),
        (stopped, ContractStatus.DELETED),
        (expired, ContractStatus.DELETED),
        (ended, ContractStatus.DELETED),
        (waiting, ContractStatus.DELETED),
    ],
)
def test_every_contract_ends_and_nothing_stays_held(make: Callable[[World], Contract], end: ContractStatus) -> None:
    world = World().add_host()
    world.report([])
    contract = make(world)
    fall_silent(world)
    lose(world)
    assert world.clearing.sweep() == len(world.store.list_contracts(client.account, None, 50).items)
    after = world.read(contract.id)
    assert (after.status, after.launch.sealed, after.offline_since) == (end, None, None)
    assert {(each.status, each.desired, each.token) for each in after.instances} == {
        (InstanceStatus.REMOVED, Desired.ABSENT, None)
    }
    assert after.next_due is None
    manifest = world.manifest()
    assert (manifest.leases, manifest.waiters, manifest.claims) == ({}, (), {})
    assert manifest.disk_free_bytes == manifest.capacity.disk_bytes
    assert world.clearing.sweep() == 0


def test_the_timeline_says_who_gave_it_up_and_goes_along_the_arrows() -> None:
    world = World().add_host()
    contract = world.rent_active()
    lose(world, REVOKED)
    world.clearing.sweep()
    lines = world.store.list_timeline(contract.id, None, 50).items[-3:]
    assert [each.status for each in lines] == ["ending", "deleted", "removed"]
    assert {(each.actor, each.cause) for each in lines} == {(OWNER, "host retired")}
    assert "revoked" in (world.read(contract.id).reason or "")


def test_who_waits_for_its_word_is_answered() -> None:
    world = World().add_host()
    contract = world.rent()
    world.life.provision(contract.id, 1, "token")
    lose(world, REVOKED)
    world.clearing.sweep()
    assert world.answers() == [("token", "failed")]


@pytest.mark.parametrize("deed", ["end", "expire", "report"])
def test_what_touches_a_contract_before_the_sweep_does_ends_it_too(deed: str) -> None:
    world = World().add_host()
    contract = world.rent_active(duration_s=100)
    lose(world, REVOKED)
    if deed == "end":
        shown = world.contracts.end_contract(contract.id, client)
        assert shown.status is ContractStatus.DELETED
    elif deed == "expire":
        world.clock.advance(100)
        assert world.life.expire(contract.id, 1).next == "done"
    else:
        world.hear(contract.id, "exited")
        world.clearing.sweep()
    assert world.read(contract.id).status is ContractStatus.DELETED


def test_a_report_that_was_verified_before_changes_nothing_after() -> None:
    world = World().add_host()
    contract = world.rent()
    lose(world, REVOKED)
    world.hear(contract.id, "running")
    assert world.read(contract.id).status in (ContractStatus.PENDING, ContractStatus.FAILED)


def test_of_a_rental_and_a_revocation_at_once_one_wins() -> None:
    """The rental read the manifest first; the host is given up before it commits."""
    world = World().add_host()
    before = world.ledger.open_book(HOST)
    lose(world, REVOKED)
    rented = rent(before, now=world.clock.now())
    with pytest.raises(GuardFailedError):
        world.store.commit(before, rented)
    with pytest.raises((HostOfflineError, NotFoundError)):
        world.rent()
    assert not world.manifest().claims


@pytest.mark.parametrize("fault", ["conflict", "lost"])
def test_faults_on_the_way_leave_nothing_behind(fault: str) -> None:
    world = World().add_host()
    contracts = [world.rent_active() for _ in range(4)]
    world.faults[:] = [fault, fault]
    lose(world, REVOKED)
    world.faults[:] = [fault, fault]
    world.clearing.sweep()
    assert {world.read(each.id).status for each in contracts} == {ContractStatus.DELETED}
    assert not world.manifest().claims


def test_a_repeated_request_has_no_second_effect() -> None:
    world = silent()
    request = Repeatable("key", b"this")
    world.retiring.retire_host(HOST, owner, LOST, request)
    before = world.manifest()
    world.clock.advance(5)
    world.retiring.retire_host(HOST, owner, LOST, request)
    world.retiring.retire_host(HOST, owner, REVOKED)
    assert world.manifest() == before
    assert status_of(world) is LOST


def test_many_contracts_are_ended_in_several_commits() -> None:
    world = World().add_host()
    for _ in range(40):
        contract = world.rent_active(disk_gib=1)
        world.contracts.stop_contract(contract.id, client, None)
        world.hear(contract.id, "stopped")
    lose(world, REVOKED)
    assert world.clearing.sweep() == 40
    assert not world.manifest().claims


def test_a_rack_that_is_revoked_sets_off_no_brake() -> None:
    world = World().add_host()
    world.report([])
    presence = world.liveness.read(HOST)
    assert presence is not None
    host, manifest = world.store.read_host(HOST), world.manifest()
    assert host is not None
    for number in range(100, 100 + BURST_LEAST_HOSTS):
        other = HostId(number)
        world.store.create_host(replace(host, id=other, rev=0))
        book = Book(replace(manifest, host_id=other, listing=None, rev=0))
        world.store.commit(book, book)
        world.liveness.known[other] = replace(presence, host_id=other)
        world.retiring.retire_host(other, owner, REVOKED)
    world.clock.advance(OFFLINE_AFTER_S)
    assert world.silence.sweep() == 1
    assert world.manifest().offline_since is not None
    assert world.silence.sweep() == 0


def test_a_retired_host_is_sent_nothing() -> None:
    """Not even what was rung before: an order to remove would take from its owner what only a person may give up."""
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None)
    lose(world, REVOKED)
    world.contracts.end_contract(contract.id, client)
    assert world.bells.rung
    assert world.dispatching.dispatch(HOST, world.bells.rung) == 0
    assert world.commands.sent == []


def test_the_sweep_leaves_alone_whose_host_is_there() -> None:
    world = World().add_host()
    contract = world.rent_active()
    assert world.clearing.sweep() == 0
    assert world.read(contract.id).status is ContractStatus.ACTIVE


def test_what_cannot_be_done_keeps_nothing_else_from_being_done() -> None:
    ended: list[int] = []

    def end(each: int) -> int:
        if each == 1:
            raise RuntimeError("a fault of ours")
        if each == 2:
            raise NotFoundError("gone")
        ended.append(each)
        return 1

    with pytest.raises(RuntimeError, match="of ours"):
        each_by_itself([1, 2, 3, 4], end, "not ended")
    assert ended == [3, 4]
    assert each_by_itself([2, 3], end, "not ended") == 1
