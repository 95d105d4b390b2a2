"""Observe: only news is taken in, and what waited for it is answered."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.errors import BusyError, HostOfflineError
from rental.domain.host import HostStatus
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.domain.liveness import Presence
from rental.domain.observation import COMMAND_IN_FLIGHT_S, Report
from rental.ports import Extras
from rental.service.ledger import ATTEMPTS
from tests.fakes.builders import HOST, make_report, rent, reported
from tests.fakes.ports import MemoryLiveness
from tests.fakes.world import World, client, owner


def test_a_replayed_or_late_report_changes_nothing() -> None:
    world = World().add_host()
    contract = world.rent()
    assert world.observing.observe(make_report([]), world.sighting(10))
    before = world.table.items()
    for seq in (10, 9):
        assert not world.observing.observe(make_report(reported(contract, "running")), world.sighting(seq))
    assert world.table.items() == before


def test_a_report_whose_commit_failed_is_taken_in_when_it_is_delivered_again() -> None:
    world = World().add_host()
    contract = world.rent()
    report, sighting = make_report(reported(contract, "running")), world.sighting(5)
    world.faults.extend(["conflict"] * ATTEMPTS)
    with pytest.raises(BusyError):
        world.observing.observe(report, sighting)
    assert world.observing.observe(report, sighting)
    assert world.read(contract.id).status is ContractStatus.ACTIVE
    before = world.table.items()
    assert not world.observing.observe(report, sighting)
    assert world.table.items() == before


def test_a_failed_report_that_comes_again_after_a_newer_one_undoes_nothing() -> None:
    world = World().add_host()
    contract = world.rent()
    loading = make_report(reported(contract, "loading"))
    world.faults.extend(["conflict"] * ATTEMPTS)
    with pytest.raises(BusyError):
        world.observing.observe(loading, world.sighting(5))
    assert world.observing.observe(make_report(reported(contract, "running")), world.sighting(6))
    assert not world.observing.observe(loading, world.sighting(5))
    assert instance_of(world, contract.id) is InstanceStatus.RUNNING


def instance_of(world: World, contract_id: ContractId) -> InstanceStatus:
    return world.read(contract_id).instances[0].status


@dataclass
class Overtaken(MemoryLiveness):
    """Something happens once, right after a report has been met and before anything of it is taken in."""

    then: Callable[[], object] = lambda: None

    def swap(self, before: Presence | None, after: Presence) -> Presence | None:
        written, then = super().swap(before, after), self.then
        self.then = lambda: None
        then()
        return written


def overtaken(world: World, older: Report, newer: Report) -> None:
    """Both reports are under way at once, and the newer one is through first."""
    first = Overtaken(world.liveness.known, lambda: world.observing.observe(newer, world.sighting(6)))
    replace(world.observing, liveness=first).observe(older, world.sighting(5))


def test_of_two_reports_taken_in_the_wrong_order_the_newer_one_stands() -> None:
    world = World().add_host()
    contract = world.rent()
    overtaken(world, make_report(reported(contract, "loading")), make_report(reported(contract, "running")))
    assert instance_of(world, contract.id) is InstanceStatus.RUNNING


def test_also_when_the_newer_one_changed_nothing() -> None:
    world = World().add_host()
    contract = world.rent()
    running = make_report(reported(contract, "running"))
    world.observing.observe(running, world.sighting(4))
    overtaken(world, make_report(reported(world.read(contract.id), "loading")), running)
    assert instance_of(world, contract.id) is InstanceStatus.RUNNING


def test_a_number_from_two_starts_of_the_daemon_quarantines_the_host() -> None:
    world = World().add_host()
    contract = world.rent()
    world.observing.observe(make_report([]), world.sighting(5))
    clone = replace(world.sighting(5), boot_id="boot-2")
    for _ in range(2):
        assert not world.observing.observe(make_report(reported(contract, "running")), clone)
    assert world.read(contract.id).status is ContractStatus.PENDING
    view = world.hosts.show_host(HOST, owner)
    assert view.host.status is HostStatus.QUARANTINED
    assert "two starts of its daemon" in (view.host.reason or "")
    assert world.offers.list_offers(None).items == []
    with pytest.raises(HostOfflineError):
        world.rent()


def test_a_host_that_starts_again_goes_on_counting_and_is_trusted() -> None:
    world = World().add_host()
    world.observing.observe(make_report([]), world.sighting(5))
    assert world.observing.observe(make_report([]), replace(world.sighting(6), boot_id="boot-2"))
    assert not world.observing.observe(make_report([]), world.sighting(4))
    assert world.hosts.show_host(HOST, owner).host.status is HostStatus.ACTIVE


def test_a_report_without_news_writes_nothing() -> None:
    world = World().add_host()
    contract = world.rent_active()
    before = world.table.items()
    assert world.hear(contract.id, "running")
    assert world.table.items() == before


def test_a_report_is_taken_in_despite_conflicts() -> None:
    world = World().add_host()
    contract = world.rent()
    world.faults.extend(["conflict"] * 3)
    world.hear(contract.id, "running")
    assert world.read(contract.id).status is ContractStatus.ACTIVE


def test_a_command_that_nobody_applied_is_rung_again() -> None:
    world = World().add_host()
    contract = world.rent()
    world.clock.advance(COMMAND_IN_FLIGHT_S + 1)
    world.report([])
    assert [bell.contract_id for bell in world.bells.rung] == [contract.id, contract.id]


def test_a_host_that_lost_its_journal_is_told_everything_again_whatever_it_carries() -> None:
    world = World().add_host()
    count = 150
    crowd(world, count)
    world.clock.advance(COMMAND_IN_FLIGHT_S + 1)
    world.report([])
    assert len({bell.contract_id for bell in world.bells.rung}) == count


def test_a_host_that_comes_back_confirms_many_instances_at_once() -> None:
    world = World().add_host(gpus=8)
    contracts = [queue_up(world, 7200, num_gpus=8, instances=8, disk_gib=1) for _ in range(12)]
    for each in contracts:
        world.contracts.end_contract(each, client)
    world.report([said for each in contracts for said in reported(world.read(each), "absent")])
    assert {world.read(each).status for each in contracts} == {ContractStatus.DELETED}
    assert not world.manifest().claims


def crowd(world: World, count: int) -> None:
    """Many stopped contracts on the host."""
    manifest, contracts = world.manifest(), dict[ContractId, Contract]()
    template = rent(Book(replace(manifest, disk_free_bytes=1 << 60)), disk_gib=0).contract(ContractId(100))
    stopped = replace(template.instances[0], status=InstanceStatus.STOPPED, token=None)
    book = Book(manifest)
    for each in range(1, count + 1):
        instances = (replace(stopped, id=InstanceId(each)),)
        contracts[ContractId(each)] = replace(template, id=ContractId(each), instances=instances)
        book = book.with_contract(contracts[ContractId(each)])
    before = Book(manifest)
    for start in range(1, count + 1, 50):
        chunk = {key: each for key, each in contracts.items() if start <= key < start + 50}
        after = replace(book, manifest=replace(book.manifest, rev=before.manifest.rev), contracts=chunk)
        before = Book(world.store.commit(before, after, Extras()).manifest)


def test_a_waiter_is_granted_by_the_report_that_returns_its_gpus() -> None:
    world = World().add_host(gpus=1)
    first = world.rent_active()
    world.contracts.stop_contract(first.id, client, None)
    world.hear(first.id, "stopped")
    second = world.rent_active()
    world.contracts.start_contract(first.id, client, None)
    assert world.read(first.id).instances[0].status is InstanceStatus.SCHEDULING
    world.contracts.stop_contract(second.id, client, None)
    world.hear(second.id, "stopped")
    assert world.read(first.id).instances[0].status is InstanceStatus.LOADING
    assert world.manifest().leases[0].contract_id == first.id
    assert world.bells.rung[-1].contract_id == first.id


def test_a_waiter_behind_an_expired_one_is_granted_in_the_same_commit() -> None:
    world = World().add_host(gpus=1)
    early, late, holder = (queue_up(world, duration_s) for duration_s in (600, 7200, 7200))
    world.contracts.start_contract(holder, client, None)
    world.hear(holder, "running")
    for each in (early, late):
        world.contracts.start_contract(each, client, None)
    world.clock.advance(600)
    world.contracts.stop_contract(holder, client, None)
    world.hear(holder, "stopped")
    assert world.read(early).instances[0].status is InstanceStatus.STOPPED
    assert world.read(late).instances[0].status is InstanceStatus.LOADING


def queue_up(world: World, duration_s: int, **changes: object) -> ContractId:
    """A contract that has run and is stopped."""
    contract = world.rent_active(duration_s=duration_s, **changes)
    world.contracts.stop_contract(contract.id, client, None)
    world.hear(contract.id, "stopped")
    return contract.id


def test_the_host_is_known_to_be_alive() -> None:
    world = World().add_host()
    world.report([])
    presence = world.liveness.read(HOST)
    assert presence is not None
    assert presence.seen_at == world.clock.now()
