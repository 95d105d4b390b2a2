"""Hosts with many GPUs and many who wait: no decision brings more writes than one transaction takes."""

import pytest

from rental.domain.contract import Contract, Launch
from rental.domain.host import HostStatus
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.domain.observation import ReportedGpu
from rental.service.ledger import ATTEMPTS
from tests.fakes.builders import HOST, PROXY, reported
from tests.fakes.world import World, client, owner

MOST_GPUS = 64
RUNNING, LOADING, SCHEDULING = InstanceStatus.RUNNING, InstanceStatus.LOADING, InstanceStatus.SCHEDULING


def start(world: World, contract: Contract) -> None:
    world.contracts.start_contract(contract.id, client, None)


def stopped(world: World, contract: Contract) -> Contract:
    world.contracts.stop_contract(contract.id, client, None)
    world.hear(contract.id, "stopped")
    return contract


def one_on_each_gpu(world: World, gpus: int) -> list[Contract]:
    """Contracts that are stopped."""
    rented = [world.rent_active(disk_gib=1) for _ in range(gpus)]
    return [stopped(world, contract) for contract in rented]


def wait_behind_one(gpus: int) -> tuple[World, Contract, list[Contract]]:
    """The whole host runs one contract, and on each GPU another waits."""
    world = World().add_host(gpus)
    waiting = one_on_each_gpu(world, gpus)
    whole = world.rent_active(num_gpus=gpus, disk_gib=1)
    for contract in waiting:
        start(world, contract)
    return world, whole, waiting


def wait_behind_each_other(gpus: int) -> tuple[World, list[Contract], list[Contract]]:
    """On each GPU one contract runs and another waits; those that run were rented first."""
    world = World().add_host(gpus)
    running, waiting = one_on_each_gpu(world, gpus), one_on_each_gpu(world, gpus)
    for contract in running:
        start(world, contract)
        world.hear(contract.id, "running")
    for contract in waiting:
        start(world, contract)
    return world, running, waiting


def statuses(world: World, contracts: list[Contract]) -> set[InstanceStatus]:
    return {each.status for contract in contracts for each in world.read(contract.id).instances}


def test_all_who_waited_get_their_gpus_when_a_whole_host_comes_free() -> None:
    world, whole, waiting = wait_behind_one(MOST_GPUS)
    assert statuses(world, waiting) == {SCHEDULING}
    stopped(world, whole)
    assert statuses(world, waiting) == {LOADING}
    assert len(world.manifest().leases) == MOST_GPUS
    assert {bell.contract_id for bell in world.bells.rung} >= {contract.id for contract in waiting}


def test_who_did_not_fit_and_was_not_granted_at_once_is_granted_with_the_next_report() -> None:
    world, whole, waiting = wait_behind_one(MOST_GPUS)
    world.contracts.stop_contract(whole.id, client, None)
    world.faults[:] = [*["conflict"] * ATTEMPTS, "lost"]  # from behind: what the report commits gets through
    world.hear(whole.id, "stopped")
    assert statuses(world, waiting) == {SCHEDULING, LOADING}
    world.report([])
    assert statuses(world, waiting) == {LOADING}


def test_all_who_waited_get_their_gpus_when_these_are_sound_again() -> None:
    world = World().add_host(MOST_GPUS)
    waiting = one_on_each_gpu(world, MOST_GPUS)
    world.report([], tuple(ReportedGpu(index, "quarantined", None) for index in range(MOST_GPUS)))
    for contract in waiting:
        start(world, contract)
    assert statuses(world, waiting) == {SCHEDULING}
    world.report([], tuple(ReportedGpu(index, "free", None) for index in range(MOST_GPUS)))
    assert statuses(world, waiting) == {LOADING}


def test_numbers_of_the_proxy_that_return_with_the_gpus_are_counted_too() -> None:
    world = World(proxy=PROXY).add_host(MOST_GPUS)
    waiting = one_on_each_gpu(world, MOST_GPUS)
    launch = Launch("alpine:3", mode="jupyter", jupyter_via="proxy")
    leaving = [world.rent_active(num_gpus=4, disk_gib=1, launch=launch) for _ in range(MOST_GPUS // 4)]
    for contract in waiting:
        start(world, contract)
    for contract in leaving:
        world.contracts.end_contract(contract.id, client)
    world.report([said for contract in leaving for said in reported(world.read(contract.id), "absent")])
    assert {world.read(contract.id).status for contract in leaving} == {ContractStatus.DELETED}
    assert statuses(world, waiting) == {LOADING}


def test_a_contract_that_is_looked_at_and_gets_nothing_is_not_written() -> None:
    world = World().add_host(MOST_GPUS)
    several = [world.rent_active(num_gpus=8, instances=8, disk_gib=1) for _ in range(MOST_GPUS // 8)]
    for contract in several:
        stopped(world, contract)
    whole = world.rent_active(num_gpus=MOST_GPUS, disk_gib=1)
    for contract in several:
        start(world, contract)
    before = {contract.id: world.read(contract.id).rev for contract in several}
    world.contracts.stop_contract(whole.id, client, None)
    world.faults[:] = [*["conflict"] * ATTEMPTS, "lost"]  # from behind: the first commit gets through, no other
    world.hear(whole.id, "stopped")
    rest = [each for each in several if statuses(world, [each]) == {SCHEDULING}]
    assert rest
    assert {each.id: world.read(each.id).rev for each in rest} == {each.id: before[each.id] for each in rest}


def test_who_waited_beyond_its_end_is_stopped_however_many_they_are() -> None:
    world, whole, waiting = wait_behind_one(MOST_GPUS)
    world.contracts.extend_contract(whole.id, owner, world.read(whole.id).end_at + 3600)
    world.clock.advance(3600)
    stopped(world, whole)
    assert statuses(world, waiting) == {InstanceStatus.STOPPED}
    assert world.manifest().waiters == ()


@pytest.mark.parametrize("gpus", [8, 16])
def test_a_retired_host_is_cleared_and_gives_nobody_its_gpus(gpus: int) -> None:
    world, running, waiting = wait_behind_each_other(gpus)
    world.retiring.retire_host(HOST, owner, HostStatus.REVOKED)
    assert world.clearing.sweep() == len(running) + len(waiting)
    assert (world.manifest().claims, world.manifest().leases) == ({}, {})
    for contract in waiting:
        lines = world.store.list_timeline(contract.id, None, 50).items
        assert "gpus free" not in {line.cause for line in lines}
        assert world.read(contract.id).status is ContractStatus.DELETED
