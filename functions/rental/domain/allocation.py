"""Who holds what on one host: the manifest, and the rules that hand out GPUs and disk.

A host's GPUs are offered in sizes 1, 2, 4, … and all of them, from the smallest that the owner lists. A slice is
aligned: of size 2 on a 4-GPU host there are {0,1} and {2,3}. A GPU is free when it has no lease, nobody waits for
it, the host has not taken it out of use, and the host itself is heard, trusted and ready.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rental.domain.contract import Contract, Instance
from rental.domain.errors import HostFullError, HostNotReadyError, HostOfflineError, OfferTakenError
from rental.domain.gpu_models import why_mixed
from rental.domain.host import Inventory
from rental.domain.ids import ContractId, HostId, InstanceId, OfferId
from rental.domain.lifecycle import Desired, InstanceStatus
from rental.domain.readiness import Readiness
from rental.domain.shares import Capacity
from rental.domain.ways_in import Direct, HostPort, Transport

MAX_CONTRACTS_PER_HOST = 200
MAX_INSTANCES_PER_HOST = 350
"""A host's report names 400 at most, 50 of them gone: a claim that it cannot report would be held for good."""


@dataclass(frozen=True)
class Listing:
    """What an owner offers: prices in micro-dollars, `offers` an id for each size."""

    gpu_price_microusd_h: int
    disk_price_microusd_gib_month: int
    end_at: int
    min_gpus: int
    allow_soft_disk: bool
    revision: int
    offers: Mapping[int, OfferId]


@dataclass(frozen=True)
class Lease:
    """A GPU held by a running instance; `token` comes from the host's counter and only rises."""

    contract_id: ContractId
    instance_id: InstanceId
    token: int


@dataclass(frozen=True)
class Waiter:
    """An instance that waits for its own GPUs, first come first served."""

    contract_id: ContractId
    instance_id: InstanceId
    gpu_indexes: tuple[int, ...]
    since: int


@dataclass(frozen=True)
class ClaimedInstance:
    """What the manifest remembers of an instance, so that most reports are judged by it alone.

    `reason` only while it holds a lease: reports of others are not held against it, and the manifest is one item.
    """

    generation: int
    desired: Desired
    status: InstanceStatus
    gpu_indexes: tuple[int, ...]
    token: int | None
    commanded_at: int
    reason: str | None
    onstart_exit_code: int | None = None


@dataclass(frozen=True)
class Retirement:
    """When and by whom the host was given up, and why, in a sentence for its clients."""

    at: int
    actor: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A contract's hold on the host. `tcp_ports` and `udp_ports` are what the host publishes for it.

    `proxy_ports` counts its numbers on the proxy: how much there is to write when it goes.
    """

    end_at: int
    delete_after: int
    disk_bytes: int
    instances: Mapping[InstanceId, ClaimedInstance]
    tcp_ports: tuple[int, ...] = ()
    udp_ports: tuple[int, ...] = ()
    proxy_ports: int = 0


@dataclass(frozen=True)
class Manifest:
    """Everything that is given out on one host; the only place that decides it.

    `offline_since`: when the host was last heard before it fell silent. `barred`: why it is out of the market for good.
    `heard_seq`: no report with a smaller number, and no silence after one, may change this any more. `sealing_key_id`
    names the machine key that new contracts are sealed to: whoever sealed to another has to read and seal again.
    `gpu_faults` has the host's reason for GPUs in quarantine, by index, where it told one.
    `direct` is where new contracts are published; what is published already keeps its numbers. `readiness` is as the
    host last told, and concerns new contracts only. `ports_in_use` are numbers that something of the host's own has, on
    its last word: no contract gets them.
    """

    host_id: HostId
    owner: str
    inventory: Inventory
    disk_free_bytes: int
    listing: Listing | None = None
    leases: Mapping[int, Lease] = field(default_factory=dict)
    next_token: int = 1
    waiters: tuple[Waiter, ...] = ()
    quarantined: tuple[int, ...] = ()
    gpu_faults: Mapping[int, str] = field(default_factory=dict)
    claims: Mapping[ContractId, Claim] = field(default_factory=dict)
    offline_since: int | None = None
    barred: str | None = None
    retired: Retirement | None = None
    heard_seq: int = 0
    sealing_key_id: str | None = None
    direct: Direct | None = None
    readiness: Readiness = field(default_factory=Readiness)
    ports_in_use: tuple[HostPort, ...] = ()
    rev: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def capacity(self) -> Capacity:
        return Capacity(
            gpus=len(self.inventory.gpus),
            memory_bytes=self.inventory.memory_bytes,
            disk_bytes=self.inventory.disk_bytes,
        )

    def count_instances(self) -> int:
        return sum(len(claim.instances) for claim in self.claims.values())

    @property
    def is_in_reach(self) -> bool:
        """Whether the host is heard and believed, so that something new may be wanted of it."""
        return self.offline_since is None and self.barred is None and self.retired is None

    @property
    def not_ready(self) -> tuple[str, ...]:
        """What makes the whole host unfit to take new contracts: what it finds itself, and GPUs of several models."""
        mixed = why_mixed(self.inventory.gpus)
        return self.readiness.not_ready if mixed is None else (mixed, *self.readiness.not_ready)

    @property
    def is_ready(self) -> bool:
        return not self.not_ready

    def free_gpus(self) -> frozenset[int]:
        """GPUs that may be offered now."""
        if not self.is_in_reach or not self.is_ready:
            return frozenset()
        waited = {index for waiter in self.waiters for index in waiter.gpu_indexes}
        taken = set(self.leases) | waited | set(self.quarantined)
        return frozenset(gpu.index for gpu in self.inventory.gpus if gpu.index not in taken)


def slice_sizes(gpus: int, smallest: int) -> tuple[int, ...]:
    """The sizes in which a host of `gpus` GPUs is offered: powers of two and the whole, from `smallest`."""
    powers = {1 << exponent for exponent in range(gpus.bit_length())}
    return tuple(sorted(size for size in powers | {gpus} if smallest <= size <= gpus))


def lowest_free_slice(manifest: Manifest, size: int) -> tuple[int, ...] | None:
    """The lowest aligned slice of `size` GPUs that is wholly free, or None."""
    free = manifest.free_gpus()
    for start in range(0, manifest.capacity.gpus - size + 1, size):
        indexes = tuple(range(start, start + size))
        if free.issuperset(indexes):
            return indexes
    return None


def take_slice(manifest: Manifest, size: int, instances: int, disk_bytes: int) -> tuple[int, ...]:
    """The GPUs that a new contract of so many instances would get.

    Raises HostOfflineError, HostNotReadyError, OfferTakenError or HostFullError.
    """
    if not manifest.is_in_reach:
        raise HostOfflineError("The host does not answer now. Choose another offer.")
    if not manifest.is_ready:
        raise HostNotReadyError("The host is not ready now; its owner is told why. Choose another offer.")
    if len(manifest.claims) >= MAX_CONTRACTS_PER_HOST:
        raise HostFullError(f"The host already carries {MAX_CONTRACTS_PER_HOST} contracts. Choose another offer.")
    if manifest.count_instances() + instances > MAX_INSTANCES_PER_HOST:
        raise HostFullError(f"The host would carry over {MAX_INSTANCES_PER_HOST} instances. Choose another offer.")
    if disk_bytes > manifest.disk_free_bytes:
        raise OfferTakenError("The host has too little free disk. Ask for less, or choose another offer.")
    indexes = lowest_free_slice(manifest, size)
    if indexes is None:
        raise OfferTakenError("The offer is taken. Search again for another one.")
    return indexes


def grant_lease(
    manifest: Manifest, contract_id: ContractId, instance_id: InstanceId, indexes: Iterable[int]
) -> Manifest:
    """Give the GPUs to the instance under the host's next token. The caller has checked that they are free."""
    lease = Lease(contract_id, instance_id, manifest.next_token)
    leases = {**manifest.leases, **dict.fromkeys(indexes, lease)}
    return replace(manifest, leases=leases, next_token=manifest.next_token + 1)


def return_lease(manifest: Manifest, instance_id: InstanceId) -> Manifest:
    """Take back every GPU that the instance holds."""
    kept = {index: lease for index, lease in manifest.leases.items() if lease.instance_id != instance_id}
    return replace(manifest, leases=kept)


def may_lease(manifest: Manifest, instance_id: InstanceId, indexes: Iterable[int]) -> bool:
    """Whether the instance may have its GPUs now: nobody else holds one, and no earlier waiter wants one."""
    wanted = set(indexes)
    if wanted & set(manifest.quarantined):
        return False
    if any(manifest.leases[i].instance_id != instance_id for i in wanted if i in manifest.leases):
        return False
    for waiter in manifest.waiters:
        if waiter.instance_id == instance_id:
            return True
        if wanted.intersection(waiter.gpu_indexes):
            return False
    return True


def drop_waiter(manifest: Manifest, instance_id: InstanceId) -> Manifest:
    kept = tuple(waiter for waiter in manifest.waiters if waiter.instance_id != instance_id)
    return replace(manifest, waiters=kept)


def enter_claim(manifest: Manifest, contract: Contract) -> Manifest:
    """Keep the contract's claim up to date; the first entry takes its disk."""
    taken = 0 if contract.id in manifest.claims else contract.share.disk_bytes
    claims = {**manifest.claims, contract.id: _claim_of(contract)}
    return replace(manifest, claims=claims, disk_free_bytes=manifest.disk_free_bytes - taken)


def release_claim(manifest: Manifest, contract_id: ContractId) -> Manifest:
    """Take back the disk and forget the contract; its containers are gone on the host's word."""
    claim = manifest.claims.get(contract_id)
    if claim is None:
        return manifest
    kept = {each: held for each, held in manifest.claims.items() if each != contract_id}
    return replace(manifest, claims=kept, disk_free_bytes=manifest.disk_free_bytes + claim.disk_bytes)


def _claim_of(contract: Contract) -> Claim:
    return Claim(
        end_at=contract.end_at,
        delete_after=contract.delete_after,
        disk_bytes=contract.share.disk_bytes,
        instances={each.id: _claimed(each) for each in contract.instances},
        tcp_ports=_published(contract, "tcp"),
        udp_ports=_published(contract, "udp"),
        proxy_ports=len(contract.proxy_ports),
    )


def _published(contract: Contract, protocol: Transport) -> tuple[int, ...]:
    return tuple(port.host for each in contract.instances for port in each.ports if port.protocol == protocol)


def _claimed(instance: Instance) -> ClaimedInstance:
    return ClaimedInstance(
        generation=instance.generation,
        desired=instance.desired,
        status=instance.status,
        gpu_indexes=instance.gpu_indexes,
        token=instance.token,
        commanded_at=instance.commanded_at,
        reason=instance.reason if instance.token is not None else None,
        onstart_exit_code=instance.onstart_exit_code,
    )
