"""A rental contract and its instances: values, and the rules that time alone decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rental.domain.errors import NotFoundError
from rental.domain.host import Gpu
from rental.domain.ids import ContractId, HostId, InstanceId, OfferId
from rental.domain.lifecycle import (
    IDLE,
    LIVE,
    ContractStatus,
    Desired,
    InstanceStatus,
    check_contract_transition,
    check_instance_transition,
)
from rental.domain.shares import Share

RESEND_REMOVAL_S = 3600
"""A removal that no host has confirmed for this long is asked for again by a new run."""


@dataclass(frozen=True)
class Sealed:
    """What the client sent in confidence, sealed to the machine key `key_id`; base64url."""

    key_id: str
    ciphertext: str


@dataclass(frozen=True)
class Launch:
    """How the containers start. Only names of environment variables stand here, never values."""

    image: str
    mode: str = "args"
    ports: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    env_keys: tuple[str, ...] = ()
    sealed: Sealed | None = None


@dataclass(frozen=True)
class Instance:
    """One container. `status` is what is, `desired` what is wanted; `generation` rises with every wanted change.

    `token` is the lease's, while one is held. `commanded_at` is when the last change was rung to the host.
    """

    id: InstanceId
    gpu_indexes: tuple[int, ...]
    share: Share
    status: InstanceStatus
    desired: Desired
    generation: int
    reason: str | None = None
    token: int | None = None
    commanded_at: int = 0
    exit_code: int | None = None
    started_at: int | None = None

    @property
    def is_removed(self) -> bool:
        """Gone on the host's word."""
        return self.status is InstanceStatus.REMOVED

    @property
    def waits(self) -> bool:
        """It is wanted running, and its turn has not come."""
        return self.status is InstanceStatus.SCHEDULING

    @property
    def is_idle(self) -> bool:
        """No container runs and no lease is held, so nothing has to stop first."""
        return self.status in IDLE or (self.waits and self.token is None)

    def become(self, status: InstanceStatus, reason: str | None = None) -> "Instance":
        """The instance in another status; raises TransitionError where the lifecycle has no arrow."""
        check_instance_transition(self.status, status)
        return replace(self, status=status, reason=reason)

    def want(self, desired: Desired, now: int) -> "Instance":
        """The instance with another wish: the next generation, rung to the host now."""
        return replace(self, desired=desired, generation=self.generation + 1, commanded_at=now)


@dataclass(frozen=True)
class Contract:
    """A client's hold on a part of a host until `end_at`; times in epoch seconds, sizes in bytes."""

    id: ContractId
    account: str
    host_id: HostId
    owner: str
    offer_id: OfferId
    label: str
    launch: Launch
    gpus: tuple[Gpu, ...]
    share: Share
    disk_enforced: bool
    unenforced: tuple[str, ...]
    price_microusd_h: int
    disk_price_microusd_gib_month: int
    created_at: int
    end_at: int
    grace_s: int
    provision_by: int
    status: ContractStatus
    instances: tuple[Instance, ...]
    reason: str | None = None
    run: int = 1
    task_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    removing_since: int = 0
    seq: int = 0
    rev: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def delete_after(self) -> int:
        """The promise: nothing is removed before this time unless the client ends early."""
        return self.end_at + self.grace_s

    def is_past_end(self, now: int) -> bool:
        return now >= self.end_at

    def status_at(self, now: int) -> ContractStatus:
        """The status that time has already decided, also before anyone has written it."""
        if self.status is ContractStatus.ACTIVE and self.is_past_end(now):
            return ContractStatus.EXPIRED
        return self.status

    def become(self, status: ContractStatus, reason: str | None = None) -> "Contract":
        """The contract in another status; raises TransitionError where the lifecycle has no arrow."""
        check_contract_transition(self.status, status)
        return replace(self, status=status, reason=reason)

    def with_instance(self, instance: Instance) -> "Contract":
        kept = tuple(instance if each.id == instance.id else each for each in self.instances)
        return replace(self, instances=kept)

    def instance(self, instance_id: InstanceId) -> Instance:
        """The instance of this id; raises NotFoundError."""
        for each in self.instances:
            if each.id == instance_id:
                return each
        raise NotFoundError("The contract has no such instance.")

    @property
    def next_due(self) -> int | None:
        """When someone must look at this contract if no execution has, epoch seconds; None when it is over."""
        match self.status:
            case ContractStatus.PENDING:
                return self.provision_by if "provision" in self.task_tokens else self.created_at
            case ContractStatus.ACTIVE:
                return self.end_at
            case ContractStatus.EXPIRED:
                return self.delete_after
            case ContractStatus.ENDING | ContractStatus.DELETING:
                return self.removing_since + (RESEND_REMOVAL_S if "delete" in self.task_tokens else 0)
            case ContractStatus.DELETED | ContractStatus.FAILED:
                return None

    @property
    def is_released(self) -> bool:
        """Everything that was held has returned: every container is gone on the host's word."""
        return all(each.is_removed for each in self.instances)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE
