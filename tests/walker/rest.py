"""Whether everything has come to rest where it should: what is wanted is what is, in the table and on the machine."""

from __future__ import annotations

from collections.abc import Iterator

from rental.domain.contract import Contract, Instance
from rental.domain.lifecycle import REMOVING, ContractStatus, Desired, InstanceStatus
from tests.walker.snapshot import OVER, Snapshot

STOPPED = frozenset({InstanceStatus.STOPPED, InstanceStatus.EXITED})


def contracts_under_way(seen: Snapshot) -> Iterator[str]:
    for contract in seen.tables.contracts.values():
        if contract.status is ContractStatus.PENDING or (contract.status in REMOVING and not contract.is_released):
            yield f"contract {contract.id} is {contract.status} still"
        if contract.status is ContractStatus.ACTIVE and seen.at >= contract.end_at:
            yield f"contract {contract.id} is active {seen.at - contract.end_at:.0f} s after its end"
        if contract.status is ContractStatus.EXPIRED and seen.at >= contract.delete_after:
            yield f"contract {contract.id} is expired {seen.at - contract.delete_after:.0f} s after its deletion"


def instances_under_way(seen: Snapshot) -> Iterator[str]:
    for contract, instance in seen.tables.instances():
        if contract.status in (ContractStatus.ACTIVE, ContractStatus.EXPIRED) and not instance.waits:
            yield from _differences(seen, contract, instance)


def lives_without_an_execution(seen: Snapshot) -> Iterator[str]:
    for contract in seen.tables.contracts.values():
        if contract.status not in OVER and f"c{contract.id}-{contract.run}" not in seen.tables.open_executions:
            yield f"run {contract.run} of contract {contract.id} is not open; it is {contract.status}"


def orders_not_known_to_the_host(seen: Snapshot) -> Iterator[str]:
    """The host has heard of every wish, and has done it."""
    for contract, instance in seen.tables.instances():
        if contract.status in OVER or instance.waits:
            continue
        record = seen.machine.journal.records.get(instance.id)
        applied = 0 if record is None else record.applied
        end_at = None if record is None else record.order.end_at
        if applied != instance.generation or end_at != contract.end_at:
            yield (
                f"instance {instance.id} has generation {instance.generation} and its end at {contract.end_at};"
                f" the host has done {applied} and knows of {end_at}"
            )


def _differences(seen: Snapshot, contract: Contract, instance: Instance) -> Iterator[str]:
    container = seen.machine.container(instance.id)
    runs = container is not None and container.is_running
    wanted = instance.desired is Desired.RUNNING
    if wanted and instance.status is not InstanceStatus.RUNNING:
        yield f"instance {instance.id} is wanted running and is {instance.status}"
    if not wanted and (instance.status not in STOPPED or instance.token is not None):
        yield f"instance {instance.id} is wanted stopped, is {instance.status} and holds token {instance.token}"
    if wanted != runs:
        yield f"instance {instance.id} of contract {contract.id} is wanted {instance.desired}; it runs: {runs}"
