"""Observe: only news is taken in, and what waited for it is answered."""

from dataclasses import replace

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.domain.observation import COMMAND_IN_FLIGHT_S
from rental.ports import Extras
from tests.fakes.builders import HOST, make_report, rent, reported
from tests.fakes.world import World, client


def test_a_replayed_or_late_report_changes_nothing() -> None:
    world = World().add_host()
    contract = world.rent()
    assert world.observing.observe(make_report([]), world.sighting(10))
    before = world.table.items()
    for seq in (10, 9):
        assert not world.observing.observe(make_report(reported(contract, "running")), world.sighting(seq))
    assert world.table.items() == before


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
    assert world.liveness.last_seen(HOST) == world.clock.now()
