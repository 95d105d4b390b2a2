"""The fields of answers, as the API's description tells them. `present.py` fills them; tests hold the two together."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from rental.api.limits import MAX_ID
from rental.api.ways_in_answers import Access, Direct, Published, Via
from rental.domain.access import Role
from rental.domain.host import HostStatus
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus

Id = Annotated[int, Field(ge=1, le=MAX_ID, json_schema_extra={"format": "int64"})]
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EpochSeconds = Annotated[int, Field(ge=0)]
Microusd = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]
Mode = Literal["args", "ssh", "jupyter"]
Enforcement = Literal["enforced", "unenforced"]


class ErrorDetail(BaseModel):
    code: str = Field(description="Stable: programs decide by it. One of `ErrorCode`.")
    message: str = Field(description="One or two sentences for people: what is wrong, and what to do next.")
    request_id: str = Field(description="Names this request in the service's logs.")


class Error(BaseModel):
    """Every refusal and every fault has this shape."""

    error: ErrorDetail


class GatewayMessage(BaseModel):
    """What API Gateway says when it answers in the service's place."""

    message: str


class Health(BaseModel):
    status: Literal["ok"]


class Share(BaseModel):
    """A part of a host, in proportion to its GPUs."""

    gpus: str = Field(description="GPUs of this share / GPUs of the host, as in `1/4`.")
    cpu_weight_permille: int = Field(description="Weight of the CPU share, no cap: idle cycles may be used.")
    memory_baseline_bytes: Bytes = Field(description="RAM that stays, whatever others use.")
    memory_limit_bytes: Bytes = Field(description="RAM beyond the baseline is borrowed up to this, while it is free.")
    shm_bytes: Bytes = Field(description="Size of /dev/shm.")
    pids: int = Field(description="Most processes and threads at a time.")
    disk_bytes: Bytes = Field(description="Reserved disk; 0 in an offer, where none is chosen yet.")
    disk: Literal["enforced", "watched"] = Field(
        description="`watched`: the host cannot enforce the size, and stops an instance that exceeds it."
    )
    io: Enforcement = Field(description="Whether the host can weigh block I/O by share.")
    network: Enforcement = Field(description="Whether the host can divide network bandwidth by share.")


class Offer(BaseModel):
    """A number of GPUs on a host, to be rented together. Its id lives until the host's listing changes."""

    id: Id
    host_id: Id
    gpu_name: str
    num_gpus: int
    gpu_indexes: list[int] = Field(description="What would be taken now; empty when nothing of this size is free.")
    reason: str | None = Field(description="Why it cannot be rented now, in a sentence; null while it can.")
    simulated: bool = Field(description="The GPUs are not real: for trying the service out.")
    price_microusd_h: Microusd = Field(description="Of all its GPUs together, per hour.")
    disk_price_microusd_gib_month: Microusd = Field(description="Per GiB and month of 730 h.")
    max_duration_s: int = Field(description="The longest contract that this offer allows now.")
    end_at: EpochSeconds = Field(description="When the host's listing ends.")
    disk_free_gib: int
    modes: dict[Mode, list[Via]] = Field(
        description="The modes that can be had now, each with the ways in; `args` has none of its own. Empty while "
        "there is a `reason`. Whether the proxy has a number left shows when it is rented: `no_ports_free`."
    )
    share: Share


class ContractGpu(BaseModel):
    index: int
    uuid: str
    name: str


class ContractSshKey(BaseModel):
    """A public key that a contract lets in."""

    fingerprint: str = Field(description="As `ssh-keygen -l` shows it.")
    comment: str = Field(description="What stands behind the key on its line; empty where nothing does.")


class Progress(BaseModel):
    """How far the pull of an image is, on its host's word; renewed every few seconds."""

    layers_done: int = Field(ge=0, description="Unpacked.")
    layers: int = Field(ge=0, description="0 until the registry has answered.")
    done_bytes: Bytes = Field(description="Downloaded, compressed.")
    total_bytes: Bytes = Field(description="To download, as far as the registry has told: grows at first.")


class Instance(BaseModel):
    """One container of a contract. The first has the contract's id."""

    id: Id
    status: InstanceStatus = Field(description="What is.")
    desired: Desired = Field(description="What is wanted.")
    reason: str | None = Field(description="Why it is so: `done`, `error`, `oom`, or a sentence; null when as wanted.")
    progress: Progress | None = Field(description="While it is `loading` and its image is pulled; else null.")
    generation: int = Field(description="Rises with every wanted change.")
    gpu_indexes: list[int] = Field(description="Its own GPUs, the same for its whole life.")
    exit_code: int | None
    onstart_exit_code: int | None = Field(
        description="Of `onstart`, at most 20 s after it has ended; negative: the signal that ended it. null before "
        "that, and where there is none."
    )
    image_digest: str | None = Field(
        description="Of what its container was made: the digest by which its registry has it, or the image's id where "
        "it has come from none; null until it first runs."
    )
    started_at: EpochSeconds | None
    ports: dict[str, Published] = Field(description="By the container's port, as in `8080/tcp`: where it is published.")
    access: Access


class Contract(BaseModel):
    """A client's hold on a part of a host until `end_at`."""

    id: Id
    status: ContractStatus = Field(description="What is. `expired` shows from `end_at` on.")
    desired: Desired = Field(description="What is wanted of it as a whole: `running` if of any instance.")
    reason: str | None = Field(description="Why it is so, in a sentence, where that needs saying.")
    host_id: Id
    offer_id: Id
    label: str
    image: str
    mode: str
    env_keys: list[str] = Field(description="Names of the environment's variables. Values are never shown.")
    stop_grace_s: int = Field(description="Between being asked to stop and being killed, at every stop.")
    init: bool = Field(description="Whether a process that reaps stands before the image's own.")
    pull: Literal["missing", "changed"]
    ssh_keys: list[ContractSshKey] = Field(description="Who is let in over ssh; none in mode `args`.")
    gpus: list[ContractGpu] = Field(description="Fixed for the life of the contract.")
    share: Share
    price_microusd_h: Microusd = Field(description="Of the whole contract, per hour; fixed when it was made.")
    disk_price_microusd_gib_month: Microusd = Field(description="Per GiB and month of 730 h; fixed likewise.")
    created_at: EpochSeconds
    end_at: EpochSeconds = Field(description="Then everything stops, and starts again only after an extension.")
    grace_s: int = Field(description="How long data is kept after the end.")
    delete_after: EpochSeconds = Field(
        description="`end_at` + `grace_s`: before this, data is removed only at the client's own early end."
    )
    instances: list[Instance]


class CommandResult(BaseModel):
    """What came of a command. Each of its outputs is cut off after 64 KiB, or earlier where it is not text."""

    exit_code: int | None = Field(description="null when it was killed for taking too long.")
    stdout: str
    stderr: str
    truncated: bool = Field(description="There was more output.")


class LogLine(BaseModel):
    """A line that an instance wrote."""

    at: str = Field(description="When, by the host's clock: RFC 3339 with nanoseconds.")
    stream: Literal["stdout", "stderr"]
    text: str


class Logs(BaseModel):
    """Lines of an instance's log, oldest first."""

    items: list[LogLine]
    next: str | None = Field(description="Ask with this `cursor` for what comes after; null while there is no line.")


class TimelineEntry(BaseModel):
    """One transition of a contract, or of one of its instances."""

    seq: int = Field(description="Counts from 1 within the contract.")
    at: EpochSeconds
    actor: str = Field(description="The account that caused it, or `service`, or `host`.")
    cause: str
    status: str = Field(description="A `ContractStatus`, or an `InstanceStatus` where `instance_id` is given.")
    instance_id: Id | None = Field(description="null: the whole contract.")
    reason: str | None


class SshKey(BaseModel):
    """A public key of an account."""

    id: KeyId = Field(description="The SHA-256 of the key, which is its fingerprint in another form.")
    name: str
    public_key: str = Field(description="Kind, key and comment, as `authorized_keys` has them.")
    fingerprint: str = Field(description="As `ssh-keygen -l` shows it.")
    created_at: EpochSeconds


class RemovedSshKey(SshKey):
    """A public key that no new contract lets in."""

    contracts: list[Id] = Field(
        description="Your contracts that let it in still, those that are expired too: replace their keys, or end them."
    )


class HostGpu(BaseModel):
    index: int
    uuid: str
    name: str
    memory_bytes: Bytes


class Inventory(BaseModel):
    """What a machine gives to its tenants, less its own reserve."""

    gpus: list[HostGpu]
    simulated: bool
    cpus: int
    memory_bytes: Bytes
    disk_bytes: Bytes
    disk_enforced: bool
    unenforced: list[str] = Field(description="What this machine cannot divide by share: `io`, `network`.")
    driver_version: str | None
    docker_version: str
    cgroup_version: Literal[1, 2]
    hostname: str


class Listing(BaseModel):
    """How a host stands on the market."""

    gpu_price_microusd_h: Microusd = Field(description="Per GPU and hour.")
    disk_price_microusd_gib_month: Microusd = Field(description="Per GiB and month of 730 h.")
    end_at: EpochSeconds = Field(description="No contract is made beyond this.")
    min_gpus: int = Field(description="The smallest offer.")
    allow_soft_disk: bool = Field(description="Listed although its disk is only watched.")
    revision: int = Field(description="Rises with each new listing.")
    offers: dict[str, Id] = Field(description="The offer of each size, by number of GPUs.")


class Host(BaseModel):
    """A registered machine."""

    id: Id
    label: str
    status: HostStatus
    reason: str | None = Field(
        description="Why nothing of it can be rented, where that is not the owner's wish: it is not `active`, it is "
        "silent, or it finds itself unfit."
    )
    created_at: EpochSeconds
    inventory: Inventory | None = Field(description="null until the machine has registered.")


class PortInUse(BaseModel):
    """A number of a host that something which is of no contract has."""

    protocol: Literal["tcp", "udp"]
    port: int


class HostView(Host):
    """A host with what is on it now."""

    modes: dict[Mode, str | None] = Field(
        description="As the machine last told: null where it serves the mode, else why not; empty until it registered."
    )
    not_ready: list[str] = Field(
        description="What makes the machine unfit, each in a sentence that says what to do. While there is any, it "
        "cannot be listed, and has no offers."
    )
    last_seen_at: EpochSeconds | None
    offline_since: EpochSeconds | None = Field(
        description="When it was last heard before it fell silent: its instances show `offline`, it has no offers."
    )
    listing: Listing | None = Field(description="null while it is not on the market.")
    direct: Direct | None = Field(description="Where new contracts are published; null: nowhere.")
    gpus_held_by: dict[str, Id] = Field(description="The contract that holds each leased GPU, by GPU index.")
    quarantined: list[int] = Field(description="Indexes of GPUs that are not rented: a check failed, or they are gone.")
    gpu_faults: dict[str, str] = Field(
        description="Why a quarantined GPU is not rented, in a sentence, by GPU index; one that the host does not name "
        "has none."
    )
    ports_in_use: list[PortInUse] = Field(
        description="Numbers of its range that something of the machine's own has, found when a start failed over "
        "them: no contract gets them until they are free."
    )
    disk_free_bytes: Bytes | None
    contracts: list[Id]


class Admission(Host):
    """What the owner needs, once, to make a machine join. It is shown in this answer only."""

    registration_token: str = Field(description="The machine registers with it, once.")
    registration_expires_at: EpochSeconds
    activation_id: str = Field(description="Of Systems Manager, for the machine's agent.")
    activation_code: str
    install: str = Field(description="One shell line that does it all: run it as root on the machine.")


class Account(BaseModel):
    """Who rents or lets."""

    name: str
    label: str
    created_at: EpochSeconds


class HostPort(BaseModel):
    """A port of each proxy that leads to an instance."""

    instance_id: Id
    kind: Literal["ssh", "jupyter"]
    port: int


class HostPorts(BaseModel):
    """What a host may listen on, on each proxy: the numbers of what is wanted running on it now."""

    host_id: Id
    bindings: list[HostPort]


class ApiKey(BaseModel):
    """What is kept of an API key: never the key."""

    id: KeyId
    account: str
    role: Role
    label: str
    created_at: EpochSeconds


class IssuedKey(ApiKey):
    """A new API key. It is shown in this answer only."""

    key: str = Field(description="To be sent as `Authorization: Bearer <key>`.")
