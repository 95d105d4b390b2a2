"""What machines are answered (schemas/register.v1.json, fetch.v1.json, manifest.v1.json)."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from rental.api.answers import Bytes, EpochSeconds, Id
from rental.domain.calls import CallKind
from rental.domain.lifecycle import Desired

Permille = Annotated[int, Field(ge=1, le=1000)]


class Registration(BaseModel):
    """Who the machine is from now on, and where its reports go."""

    v: Literal[1]
    host_id: Id
    key_id: str = Field(description="Names the machine key in what it signs.")
    event_bus_name: str
    region: str


class RotatedKey(BaseModel):
    """The machine key that is believed from now on, alone."""

    v: Literal[1]
    host_id: Id
    key_id: str


class Proxy(BaseModel):
    """A proxy of the deployment, as hosts see it."""

    address: str = Field(description="Where it takes tunnels: a host name or an IP address.")
    port: int
    user: str = Field(description="Whom tunnels log in as.")
    host_key: str = Field(description="The public key that it has to show, `ssh-ed25519 …`.")
    public_address: str = Field(description="Its address on which numbers for ssh are asked for.")
    loopback_address: str = Field(description="Its address on which numbers for JupyterLab are asked for.")


class Proxies(BaseModel):
    """Where the host may open tunnels to."""

    v: Literal[1]
    host_id: Id
    proxies: list[Proxy]


class SealedSecrets(BaseModel):
    """What the client sent in confidence, which only the machine key opens, and whom the instance lets in."""

    v: Literal[1]
    key_id: str
    sealed: str = Field(description="HPKE ciphertext, base64url.")
    ssh_keys: list[str] = Field(description="Public keys, a line of `authorized_keys` each.")


class Certificate(BaseModel):
    """For the JupyterLab of an instance."""

    v: Literal[1]
    certificate: str = Field(description="PEM: the certificate, and after it the authority's own.")
    not_after: EpochSeconds = Field(description="When it ends: 30 days, and at most a day after the contract.")


class Call(BaseModel):
    """What a client waits for: a command's output, or logs."""

    v: Literal[1]
    call_id: str
    contract_id: Id
    instance_id: Id
    kind: CallKind
    key_id: str = Field(description="The machine key that opens `sealed`.")
    sealed: str = Field(description="HPKE ciphertext of what is asked, base64url.")
    reply_key: str = Field(description="X25519 public key to seal the reply to, base64url.")


class Taken(BaseModel):
    v: Literal[1]


class OrderGpu(BaseModel):
    index: int
    uuid: str


class Limits(BaseModel):
    """The share of the host that the instance is held to."""

    gpus: str
    cpu_weight_permille: Permille
    memory_baseline_bytes: Bytes
    memory_limit_bytes: Bytes
    shm_bytes: Bytes
    pids: int
    disk_bytes: Bytes
    io_weight_permille: Permille


class OrderPort(BaseModel):
    """A port of the container to publish."""

    container: int
    protocol: Literal["tcp", "udp"]
    host: int = Field(description="Under which number of the host.")


class Order(BaseModel):
    """The whole wanted state of one instance."""

    contract_id: Id
    instance_id: Id
    generation: int
    desired: Desired
    token: int | None = Field(description="The lease; null unless `desired` is `running`.")
    end_at: EpochSeconds
    delete_after: EpochSeconds
    start_by: EpochSeconds | None = Field(description="When this start is given up; null when it is not.")
    image: str
    mode: str
    stop_grace_s: int = Field(ge=1, le=120, description="Between being asked to stop and being killed.")
    init: bool = Field(description="Whether a process that reaps is put before the image's own.")
    pull: Literal["missing", "changed"] = Field(description="Whether an image that is there is used as it is.")
    keys_revision: int = Field(ge=0, description="Rises when the SSH keys are replaced: fetch them anew.")
    proxy_ssh_port: int | None = Field(description="Its number on each proxy, for ssh; null where there is none.")
    proxy_jupyter_port: int | None = Field(description="Likewise for JupyterLab.")
    ports: list[OrderPort]
    gpus: list[OrderGpu]
    limits: Limits


class HostManifest(BaseModel):
    """Every order that the host should have applied."""

    v: Literal[1]
    host_id: Id
    orders: list[Order]
    sealed_key_ids: list[str] = Field(description="Machine keys to which something is sealed that may still be opened.")
