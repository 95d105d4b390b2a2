"""I3, I4 and I5: what has ended does not run or start, and its data is there until the promised time."""

from __future__ import annotations

from collections.abc import Iterator

from rental.domain.contract import Contract
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from tests.walker.snapshot import Snapshot

MAY_RUN_ON_S = 60
"""A stop takes its grace, and the watch looks once a second."""
CLOCK_S = 1.0
"""Docker's times are in nanoseconds, ends in whole seconds."""

BEGINS = frozenset({InstanceStatus.LOADING, InstanceStatus.RUNNING, InstanceStatus.SCHEDULING})
KEEPS_DATA = frozenset({ContractStatus.ACTIVE, ContractStatus.EXPIRED})


def running_past_the_end(seen: Snapshot, may_run_on_s: float = MAY_RUN_ON_S) -> Iterator[str]:
    for container in seen.machine.running:
        known = seen.tables.instance(container.instance_id)
        late_s = seen.at - known[0].end_at if known is not None else 0
        if late_s > may_run_on_s:
            yield f"instance {container.instance_id} runs {late_s:.0f} s after the end of its contract"


def data_gone_too_early(seen: Snapshot) -> Iterator[str]:
    """What has run has a container, and with it its data, until the contract is deleted."""
    for contract in seen.tables.contracts.values():
        if contract.status not in KEEPS_DATA:
            continue
        for instance in contract.instances:
            if _has_run(seen, contract, instance.id) and seen.machine.container(instance.id) is None:
                yield f"the container of instance {instance.id} is gone; contract {contract.id} is {contract.status}"


def deleted_before_the_promise(seen: Snapshot) -> Iterator[str]:
    for contract_id, lines in seen.tables.timelines.items():
        contract = seen.tables.contracts.get(contract_id)
        for line in lines:
            deleting = line.instance_id is None and line.status == ContractStatus.DELETING
            if contract is not None and deleting and line.at < contract.delete_after:
                yield f"contract {contract_id} was deleted at {line.at}, before {contract.delete_after}"


def expired_and_wanted_running(seen: Snapshot) -> Iterator[str]:
    for contract, instance in seen.tables.instances():
        if contract.status is ContractStatus.EXPIRED and instance.desired is Desired.RUNNING:
            yield f"instance {instance.id} is wanted running; contract {contract.id} is expired"
    for manifest in seen.tables.manifests.values():
        for waiter in manifest.waiters:
            contract_of = seen.tables.contracts.get(waiter.contract_id)
            if contract_of is not None and contract_of.status is ContractStatus.EXPIRED:
                yield f"instance {waiter.instance_id} waits for GPUs; contract {waiter.contract_id} is expired"


def begun_while_expired(seen: Snapshot) -> Iterator[str]:
    """Between the line that says expired and the next of the contract, no instance begins."""
    for contract_id, lines in seen.tables.timelines.items():
        expired = False
        for line in lines:
            if line.instance_id is None:
                expired = line.status == ContractStatus.EXPIRED
            elif expired and line.status in BEGINS:
                yield f"instance {line.instance_id} of contract {contract_id} became {line.status} while it was expired"


def started_after_the_end(seen: Snapshot) -> Iterator[str]:
    for container in seen.machine.containers:
        known = seen.tables.instance(container.instance_id)
        if known is None or container.started_at is None:
            continue
        late_s = container.started_at - known[0].end_at
        if late_s >= CLOCK_S:
            yield f"the container of instance {container.instance_id} started {late_s:.1f} s after the end"


def _has_run(seen: Snapshot, contract: Contract, instance_id: int) -> bool:
    return any(
        line.instance_id == instance_id and line.status == InstanceStatus.RUNNING
        for line in seen.tables.timelines.get(contract.id, ())
    )
