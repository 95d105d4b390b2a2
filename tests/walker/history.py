"""I9: nothing that counts upward falls, and what the timeline tells is a way through the lifecycle's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rental.domain.book import TimelineEntry
from rental.domain.contract import Contract
from rental.domain.lifecycle import (
    CONTRACT_TRANSITIONS,
    INSTANCE_TRANSITIONS,
    REMOVING,
    ContractStatus,
    InstanceStatus,
)
from tests.walker.snapshot import Snapshot


def gaps_in_timelines(seen: Snapshot) -> Iterator[str]:
    for contract in seen.tables.contracts.values():
        numbers = [line.seq for line in seen.tables.timelines.get(contract.id, ())]
        if numbers != list(range(1, contract.seq + 1)):
            yield f"the timeline of contract {contract.id} has the numbers {numbers}; its last is {contract.seq}"


def ways_that_are_not_drawn(seen: Snapshot) -> Iterator[str]:
    """Every change of a status is an arrow, and the last line says what is, unless all is being removed anyway."""
    for contract in seen.tables.contracts.values():
        lines = seen.tables.timelines.get(contract.id, ())
        yield from _contract_way(contract, [line for line in lines if line.instance_id is None])
        for instance in contract.instances:
            own = [line for line in lines if line.instance_id == instance.id]
            yield from _instance_way(contract, instance.id, instance.status, own)


def what_has_fallen(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Generations, tokens and numbers of both snapshots: `after` was taken later."""
    earlier, later = _counters(before), _counters(after)
    for name, value in earlier.items():
        if name in later and later[name] < value:
            yield f"{name} fell from {value} to {later[name]}"


def what_has_vanished(before: Snapshot, after: Snapshot) -> Iterator[str]:
    for contract_id in before.tables.contracts.keys() - after.tables.contracts.keys():
        yield f"contract {contract_id} is not in the table any more"


def _contract_way(contract: Contract, lines: Sequence[TimelineEntry]) -> Iterator[str]:
    status = ContractStatus.PENDING
    for line in lines:
        told = ContractStatus(line.status)
        if told is not status and told not in CONTRACT_TRANSITIONS[status]:
            yield f"contract {contract.id} went from {status} to {told}"
        status = told
    if status is not contract.status:
        yield f"contract {contract.id} is {contract.status}; its timeline ends with {status}"


def _instance_way(
    contract: Contract, instance_id: int, now: InstanceStatus, lines: Sequence[TimelineEntry]
) -> Iterator[str]:
    status = InstanceStatus.CREATING
    for line in lines:
        told = InstanceStatus(line.status)
        if told is not status and told not in INSTANCE_TRANSITIONS[status]:
            yield f"instance {instance_id} went from {status} to {told}"
        status = told
    if contract.status in REMOVING and now is not InstanceStatus.REMOVED:
        return
    shown = InstanceStatus.OFFLINE if contract.offline_since is not None and now != InstanceStatus.REMOVED else now
    if status is not shown:
        yield f"instance {instance_id} is {shown}; its timeline ends with {status}"


def _counters(seen: Snapshot) -> dict[str, int]:
    counters: dict[str, int] = {}
    for contract, instance in seen.tables.instances():
        counters[f"the generation of instance {instance.id}"] = instance.generation
        counters[f"the end of contract {contract.id}"] = contract.end_at
        counters[f"the run of contract {contract.id}"] = contract.run
        counters[f"the last line of contract {contract.id}"] = contract.seq
        counters[f"the revision of contract {contract.id}"] = contract.rev
    for host_id, manifest in seen.tables.manifests.items():
        counters[f"the next token of host {host_id}"] = manifest.next_token
        counters[f"the revision of host {host_id}'s manifest"] = manifest.rev
    for presence in seen.tables.presences:
        counters[f"the last report of host {presence.host_id}"] = presence.seq
    for uuid, fence in seen.machine.journal.fences.items():
        counters[f"the highest token that GPU {uuid} has seen"] = fence.token
    for instance_id, record in seen.machine.journal.records.items():
        counters[f"the generation of instance {instance_id} in the journal"] = record.order.generation
    return counters
