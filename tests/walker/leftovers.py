"""I6: nothing outlives its contract: no lease, disk, waiter, token, execution; no container, network, group or rule."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.walker.snapshot import OVER, Snapshot

BRIDGE = re.compile(r"\bgl-[0-9a-z]+")


def held_in_the_table(seen: Snapshot) -> Iterator[str]:
    for host_id, manifest in seen.tables.manifests.items():
        for index, lease in manifest.leases.items():
            if seen.tables.is_over(lease.contract_id):
                yield f"GPU {index} of host {host_id} is leased to contract {lease.contract_id}, which is over"
        for waiter in manifest.waiters:
            if seen.tables.is_over(waiter.contract_id):
                yield f"instance {waiter.instance_id} waits on host {host_id}; its contract is over"
        for contract_id in manifest.claims:
            if seen.tables.is_over(contract_id):
                yield f"contract {contract_id} is over and still has its claim on host {host_id}"


def kept_by_a_contract_that_is_over(seen: Snapshot) -> Iterator[str]:
    """Its secrets, its place among what is due, and the tasks that wait for it."""
    due = {item["pk"] for item in seen.tables.items if "next_due" in item or "gsi3pk" in item}
    for contract in seen.tables.contracts.values():
        if contract.status not in OVER:
            continue
        if contract.task_tokens:
            yield f"contract {contract.id} is {contract.status} and keeps the token of {sorted(contract.task_tokens)}"
        if f"C#{contract.id}" in due:
            yield f"contract {contract.id} is {contract.status} and still due"
        if contract.launch.sealed is not None:
            yield f"contract {contract.id} is {contract.status} and keeps its secrets"


def executions_of_what_is_over(seen: Snapshot) -> Iterator[str]:
    for name in seen.tables.open_executions:
        contract_id, _, run = name.removeprefix("c").partition("-")
        if seen.tables.is_over(int(contract_id)):
            yield f"run {run} of contract {contract_id} is open; the contract is over"


def containers_of_what_is_over(seen: Snapshot) -> Iterator[str]:
    for container in seen.machine.containers:
        if seen.tables.is_over(container.contract_id):
            yield f"the container of instance {container.instance_id} is there; its contract is over"


def networks_of_nobody(seen: Snapshot) -> Iterator[str]:
    in_use = {container.contract_id for container in seen.machine.containers}
    for name, contract_id in seen.machine.networks.items():
        if contract_id not in in_use:
            yield f"network {name} has no container; contract {contract_id} made it"
    for bridge in seen.machine.bridges - seen.machine.networks.keys():
        yield f"bridge {bridge} belongs to no network"


def groups_and_files_of_nobody(seen: Snapshot) -> Iterator[str]:
    for container_id in seen.machine.groups - {each.id for each in seen.machine.running}:
        yield f"the control group of container {container_id[:12]} is there; the container does not run"
    for container_id in seen.machine.layers - {each.id for each in seen.machine.containers}:
        yield f"the files of container {container_id[:12]} are there; the container is gone"


def rules_of_nobody(seen: Snapshot) -> Iterator[str]:
    for line in seen.machine.firewall:
        for bridge in set(BRIDGE.findall(line)) - seen.machine.bridges:
            yield f"a firewall rule names the bridge {bridge}, which is gone: {line}"


def journal_entries_of_what_is_over(seen: Snapshot) -> Iterator[str]:
    """A tombstone stays for a while: it says that the instance is gone."""
    for instance_id, record in seen.machine.journal.records.items():
        if record.status != "absent" and seen.tables.is_over(record.order.contract_id):
            yield f"the journal has instance {instance_id} as {record.status}; its contract is over"
    for instance_id in seen.machine.journal.strays:
        yield f"the journal has the container of instance {instance_id} as claimed by nobody"
