"""I1 and I2: a GPU has one holder, in the table and on the machine; disk is promised once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.walker.snapshot import Snapshot


def two_holders_in_the_table(seen: Snapshot) -> Iterator[str]:
    holders: dict[tuple[int, int], list[int]] = defaultdict(list)
    for contract, instance in seen.tables.instances():
        for index in instance.gpu_indexes if instance.token is not None else ():
            holders[contract.host_id, index].append(instance.id)
    for (host_id, index), held_by in holders.items():
        if len(held_by) > 1:
            yield f"GPU {index} of host {host_id} is held by the instances {held_by}"


def leases_that_differ(seen: Snapshot) -> Iterator[str]:
    """The manifest's leases are the tokens of the instances, one for one."""
    for host_id, manifest in seen.tables.manifests.items():
        leased = {(lease.instance_id, index, lease.token) for index, lease in manifest.leases.items()}
        held = {
            (instance.id, index, instance.token)
            for contract, instance in seen.tables.instances()
            if contract.host_id == host_id and instance.token is not None
            for index in instance.gpu_indexes
        }
        for instance_id, index, token in leased ^ held:
            where = "the manifest only" if (instance_id, index, token) in leased else "its contract only"
            yield f"instance {instance_id} holds GPU {index} of host {host_id} under token {token} in {where}"


def two_containers_on_a_gpu(seen: Snapshot) -> Iterator[str]:
    users: dict[str, list[int]] = defaultdict(list)
    for container in seen.machine.running:
        for uuid in container.gpus:
            users[uuid].append(container.instance_id)
    for uuid, used_by in users.items():
        if len(used_by) > 1:
            yield f"GPU {uuid} is used by the running containers of the instances {used_by}"


def gpus_of_others(seen: Snapshot) -> Iterator[str]:
    """A container that runs has exactly the GPUs of its instance, whatever its image and its client wished."""
    for container in seen.machine.running:
        known = seen.tables.instance(container.instance_id)
        if known is None:
            continue
        contract, instance = known
        own = {gpu.uuid for gpu in contract.gpus if gpu.index in instance.gpu_indexes}
        if set(container.gpus) != own:
            yield f"instance {instance.id} runs with {sorted(container.gpus)}; its GPUs are {sorted(own)}"


def disk_promised_beyond_the_host(seen: Snapshot) -> Iterator[str]:
    for host_id, manifest in seen.tables.manifests.items():
        promised = sum(claim.disk_bytes for claim in manifest.claims.values())
        if promised + manifest.disk_free_bytes != manifest.inventory.disk_bytes or manifest.disk_free_bytes < 0:
            yield (
                f"host {host_id} has {manifest.inventory.disk_bytes} bytes of disk;"
                f" {promised} are promised and {manifest.disk_free_bytes} free"
            )


def claims_that_differ(seen: Snapshot) -> Iterator[str]:
    """A claim holds what its contract was promised, and the instances' parts are that."""
    for manifest in seen.tables.manifests.values():
        for contract_id, claim in manifest.claims.items():
            contract = seen.tables.contracts.get(contract_id)
            if contract is None:
                continue
            parts = sum(instance.share.disk_bytes for instance in contract.instances)
            if not claim.disk_bytes == contract.share.disk_bytes == parts:
                yield (
                    f"contract {contract_id} claims {claim.disk_bytes} bytes of disk,"
                    f" was promised {contract.share.disk_bytes}, and its instances have {parts}"
                )


def disk_beyond_the_machine(seen: Snapshot) -> Iterator[str]:
    """What the host itself has promised fits on its disk."""
    records = seen.machine.journal.records.values()
    promised = sum(each.order.limits.disk_bytes for each in records if each.status != "absent")
    if promised > seen.machine.disk_bytes:
        yield f"the host has promised {promised} bytes of disk; its file system has {seen.machine.disk_bytes}"
