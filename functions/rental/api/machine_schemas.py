"""What machines send (schemas/register.v1.json, fetch.v1.json, manifest.v1.json). Unknown fields are let pass: a
newer host may talk to an older service."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from rental.api.limits import CALL_ID, MAX_ID, MAX_REPLY, SEALED
from rental.api.numbers import WHOLE
from rental.api.readiness import MAX_NOT_READY, MAX_SENTENCE
from rental.domain.sentences import one_line

TUNNEL_KEY = r"^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42}$"
Size = Annotated[int, Field(ge=0, lt=1 << 62), WHOLE]
Identifier = Annotated[int, Field(ge=1, le=MAX_ID), WHOLE]
MAX_NAME = 256
Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(lambda text: one_line(text, MAX_NAME))]
Sentence = Annotated[str, Field(max_length=MAX_SENTENCE)]
CallId = Annotated[str, Field(pattern=CALL_ID)]
Key = Annotated[str, Field(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]+$")]


class MachineBody(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)

    v: Annotated[Literal[1], WHOLE]


class GpuBody(BaseModel):
    index: Annotated[int, Field(ge=0, lt=64), WHOLE]
    uuid: Annotated[str, Field(pattern=r"^GPU-[A-Za-z0-9-]{1,64}$")]
    name: Name
    memory_bytes: Size


class InventoryBody(BaseModel):
    gpus: Annotated[list[GpuBody], Field(min_length=1, max_length=64)]
    simulated: bool
    cpus: Annotated[int, Field(ge=1, le=4096), WHOLE]
    memory_bytes: Size
    disk_bytes: Size
    disk_enforced: bool
    unenforced: Annotated[list[Name], Field(max_length=16)]
    driver_version: Name | None
    docker_version: Name
    cgroup_version: Annotated[Literal[1, 2], WHOLE]
    hostname: Name
    modes: Annotated[
        dict[Name, Sentence | None] | None,
        Field(max_length=16, description="Each launch mode: null where it is served, else why not. Left out: all are."),
    ] = None
    not_ready: Annotated[
        list[Sentence],
        Field(max_length=MAX_NOT_READY, description="What makes the machine unfit to be rented, each in a sentence."),
    ] = []

    @field_validator("gpus")
    @classmethod
    def check_gpus(cls, gpus: list[GpuBody]) -> list[GpuBody]:
        if [gpu.index for gpu in gpus] != list(range(len(gpus))) or len({gpu.uuid for gpu in gpus}) < len(gpus):
            raise ValueError("GPUs are listed by index from 0 on, each with a uuid of its own")
        return gpus


class RegisterBody(MachineBody):
    registration_token: Annotated[str, Field(max_length=128)]
    signing_key: Key
    sealing_key: Key
    inventory: InventoryBody


class RotateKeyBody(MachineBody):
    signing_key: Key
    sealing_key: Key
    proof: Annotated[str, Field(max_length=1024, description="A JWT by the new key: `iss` (the host), `replaces`.")]


class TunnelBody(MachineBody):
    public_key: Annotated[str, Field(pattern=TUNNEL_KEY, description="One line of OpenSSH, without a comment.")]


class FetchBody(MachineBody):
    contract_id: Identifier
    instance_id: Identifier
    generation: Identifier
    token: Identifier


class CertificateBody(MachineBody):
    contract_id: Identifier
    instance_id: Identifier
    generation: Identifier
    csr: Annotated[str, Field(max_length=4096, description="A certificate request, PEM: of it only the key counts.")]


class CallBody(MachineBody):
    call_id: CallId


class ReplyBody(MachineBody):
    call_id: CallId
    sealed: Annotated[
        str,
        Field(pattern=SEALED, max_length=MAX_REPLY, description="HPKE ciphertext to the call's reply_key, base64url."),
    ]


class ManifestBody(MachineBody):
    pass
