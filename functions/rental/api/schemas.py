"""What clients and host owners may send, checked at the edge. Sizes in GiB, times in seconds."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
RESERVED_ENV = ("NVIDIA_", "LD_")
ENV_BYTES = 32_768

Text = Annotated[str, Field(max_length=4096)]
Identifier = Annotated[int, Field(ge=1, lt=1 << 53)]
Port = Annotated[str, Field(pattern=r"^[0-9]{1,5}/(tcp|udp)$")]
Microusd = Annotated[int, Field(ge=0, le=10**12)]
EpochSeconds = Annotated[int, Field(ge=0, lt=1 << 33)]


class Body(BaseModel):
    """Nothing is guessed: types are exact, unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RegistryLogin(Body):
    """For a private image; sealed to the host, which alone opens it for the pull."""

    server: Annotated[str, Field(max_length=256)] = ""
    username: Annotated[str, Field(min_length=1, max_length=256)]
    password: Annotated[str, Field(min_length=1, max_length=4096)]


class OpenContract(Body):
    """Rent an offer."""

    offer_id: Identifier
    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=IMAGE)]
    mode: Literal["args", "ssh", "jupyter"] = "args"
    ports: Annotated[list[Port], Field(max_length=64)] = []
    ssh_keys: Annotated[list[Text], Field(max_length=16)] = []
    login: RegistryLogin | None = None
    onstart: Text | None = None
    entrypoint: Annotated[list[Text], Field(max_length=64)] | None = None
    args: Annotated[list[Text], Field(max_length=256)] | None = None
    env: dict[str, Text] = {}
    disk_gib: Annotated[int, Field(ge=1, le=1 << 20)]
    duration_s: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    label: Annotated[str, Field(max_length=256)] = ""
    instances: Annotated[int, Field(ge=1, le=64)] = 1

    @field_validator("env")
    @classmethod
    def check_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not ENV_NAME.fullmatch(name):
                raise ValueError("names of variables have letters, digits and underscores only")
            if name.startswith(RESERVED_ENV):
                raise ValueError("names that begin with NVIDIA_ or LD_ are reserved")
        if sum(len(name) + len(value.encode()) for name, value in env.items()) > ENV_BYTES:
            raise ValueError(f"all variables together have at most {ENV_BYTES} bytes")
        return env

    @model_validator(mode="after")
    def check_available(self) -> "OpenContract":
        if self.mode != "args" or self.ports or self.ssh_keys or self.onstart is not None:
            raise ValueError("only mode args is available yet, without ports, ssh_keys and onstart")
        return self

    @model_validator(mode="after")
    def check_no_nul(self) -> "OpenContract":
        texts = [self.label, *self.env.values(), *(self.entrypoint or []), *(self.args or [])]
        if any("\0" in text for text in texts):
            raise ValueError("no text may hold a NUL character")
        return self


class ChangeInstances(Body):
    """Start or stop one instance, or all when it is left out."""

    instance_id: Identifier | None = None


class ExtendContract(Body):
    """Move the end of a contract later."""

    end_at: EpochSeconds


class AddHost(Body):
    """Announce a machine."""

    label: Annotated[str, Field(max_length=256)] = ""


class ListHost(Body):
    """Put a host on the market; prices in micro-dollars per GPU and hour, and per GiB and month of 730 h."""

    gpu_price_microusd_h: Microusd
    disk_price_microusd_gib_month: Microusd = 0
    end_at: EpochSeconds
    min_gpus: Annotated[int, Field(ge=1, le=64)] = 1
    allow_soft_disk: bool = False
