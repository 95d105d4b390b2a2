"""A rental contract and its instances: values, and the rules that time alone decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

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
from rental.domain.ways_in import ContainerPort, JupyterVia, PublishedPort

RESEND_REMOVAL_S = 3600
"""A removal that no host has confirmed for this long is asked for again by a new run."""
RENEW_AFTER_S = 300 * 86_400
"""An execution may last a year; before that the next run takes over."""
EXTENSIONS_PER_RUN = 300
"""Each may wake the execution once, at up to 60 events; it may have 25,000."""
STOP_GRACE_S = 10
"""Where a contract asks for none, and those that were made before it could be asked for."""
Pull = Literal["missing", "changed"]


@dataclass(frozen=True)
class Sealed:
    """What the client sent in confidence, sealed to the machine key `key_id`; base64url."""

    key_id: str
    ciphertext: str


@dataclass(frozen=True)
class Launch:
    """How the containers start. Only names of environment variables stand here, never values.

    `ports` are those that the client asked for, besides what the mode has published. `stop_grace_s` is between being
    asked to stop and being killed. `init`: a first process that reaps is put before the image's. `pull`: whether an
    image that is there is used as it is, or held against its registry first.
    """

    image: str
    mode: str = "args"
    ports: tuple[ContainerPort, ...] = ()
    jupyter_via: JupyterVia | None = None
    ssh_keys: tuple[str, ...] = ()
    """Lines of public keys."""
    keys_revision: int = 0
    """Rises each time that they are replaced."""
    env_keys: tuple[str, ...] = ()
    stop_grace_s: int = STOP_GRACE_S
    init: bool = False
    pull: Pull = "missing"
    sealed: Sealed | None = None


@dataclass(frozen=True)
class Progress:
    """How far the pull of an image is, on the host's word. `total_bytes` grows while the registry tells more."""

    layers_done: int
    layers: int
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Instance:
    """One container. `status` is what is, `desired` what is wanted; `generation` rises with every wanted change.

    `token` is the lease's, while one is held. `commanded_at` is when the last change was rung to the host.
    `ports` are its numbers on the host, `proxy_ssh_port` and `proxy_jupyter_port` those on the deployment's proxy, the
    same for its whole life.
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
    onstart_exit_code: int | None = None
    """Of the last start's `onstart`, once that has ended."""
    image_digest: str | None = None
    """What its container was made of, on the host's word."""
    started_at: int | None = None
    progress: Progress | None = None
    ssh_host_key: str | None = None
    """By which its ssh is known, on the host's word, one line as OpenSSH writes it: where the host lets people in."""
    ports: tuple[PublishedPort, ...] = ()
    proxy_ssh_port: int | None = None
    proxy_jupyter_port: int | None = None

    @property
    def proxy_ports(self) -> tuple[int, ...]:
        """Its numbers on the proxy, as many as it has."""
        return tuple(port for port in (self.proxy_ssh_port, self.proxy_jupyter_port) if port is not None)

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

    @property
    def under_way(self) -> str | None:
        """What its host has been asked and has not confirmed, in a sentence."""
        if self.desired is Desired.ABSENT:
            return None if self.is_removed else "Its host has been asked to remove it."
        match self.status:
            case InstanceStatus.CREATING | InstanceStatus.LOADING:
                return "Its host has been asked to start it."
            case InstanceStatus.STOPPING:
                return "Its host has been asked to stop it."
            case _:
                return None

    def become(self, status: InstanceStatus, reason: str | None = None) -> "Instance":
        """The instance in another status; raises TransitionError where the lifecycle has no arrow."""
        check_instance_transition(self.status, status)
        return replace(self, status=status, reason=reason, progress=None)

    def want(self, desired: Desired, now: int) -> "Instance":
        """The instance with another wish: the next generation, rung to the host now."""
        return replace(self, desired=desired, generation=self.generation + 1, commanded_at=now)


@dataclass(frozen=True)
class Contract:
    """A client's hold on a part of a host until `end_at`; times in epoch seconds, sizes in bytes.

    `run_at` is when the current run began, 0 for the first; `extended` counts the extensions in it. `offline_since` is
    when the host was last heard, while it is silent: what an instance's `status` says is as old as that. `address` is
    where the ports are published, None where there are none.
    """

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
    run_at: int = 0
    extended: int = 0
    offline_since: int | None = None
    address: str | None = None
    task_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    removing_since: int = 0
    seq: int = 0
    rev: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def proxy_ports(self) -> tuple[int, ...]:
        """The numbers on the proxy that nobody else may have while anything of this contract is left."""
        return tuple(port for each in self.instances for port in each.proxy_ports)

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

    def reason_at(self, now: int) -> str | None:
        """Why the contract is not what a client would wish, in a sentence; None while it is."""
        if self.reason is not None:
            return self.reason
        match self.status_at(now):
            case ContractStatus.PENDING:
                return "Its host has been asked to start it."
            case ContractStatus.EXPIRED:
                return "Its end has come. Save your data before delete_after, or ask the host for an extension."
            case _:
                return None

    def become(self, status: ContractStatus, reason: str | None = None) -> "Contract":
        """The contract in another status; raises TransitionError where the lifecycle has no arrow."""
        check_contract_transition(self.status, status)
        return replace(self, status=status, reason=reason)

    def with_next_run(self, now: int) -> "Contract":
        """The contract whose life a new execution goes on with; the one before learns that it is stale."""
        return replace(self, run=self.run + 1, run_at=now, extended=0)

    @property
    def renew_at(self) -> int:
        """When the current run has lasted so long that the next must take over."""
        return (self.run_at or self.created_at) + RENEW_AFTER_S

    def fall_silent(self, since: int) -> "Contract":
        """The contract while its host is silent; raises TransitionError."""
        for each in self.instances:
            if not each.is_removed:
                check_instance_transition(each.status, InstanceStatus.OFFLINE)
        return replace(self, offline_since=since)

    def be_heard(self) -> "Contract":
        """The contract once its host speaks again; raises TransitionError."""
        if self.offline_since is not None:
            for each in self.instances:
                check_instance_transition(InstanceStatus.OFFLINE, each.status)
        return replace(self, offline_since=None)

    def status_of(self, instance: Instance) -> InstanceStatus:
        """What an instance shows: its status, or `offline` while nobody can know."""
        hidden = self.offline_since is not None and not instance.is_removed
        return InstanceStatus.OFFLINE if hidden else instance.status

    def reason_of(self, instance: Instance) -> str | None:
        """Why an instance shows what it shows; None while that is what is wanted."""
        if self.status_of(instance) is not InstanceStatus.OFFLINE:
            return instance.reason or instance.under_way
        return f"The host has been silent since {self.offline_since}. It was {instance.status} then; it may still be."

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
                return min(self.end_at, self.renew_at)
            case ContractStatus.EXPIRED:
                return min(self.delete_after, self.renew_at)
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
