"""What clients and host owners may send, checked at the edge. Sizes in GiB, times in seconds."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
RESERVED_ENV = ("NVIDIA_", "LD_")
ENV_BYTES = 32_768
A_RENTAL: dict[str, JsonValue] = {
    "offer_id": 123,
    "image": "alpine:3",
    "args": ["sleep", "600"],
    "env": {"A": "b"},
    "disk_gib": 10,
    "duration_s": 3600,
    "label": "x",
}
RESERVED_ACCOUNTS = ("service", "host")

Text = Annotated[str, Field(max_length=4096)]
Identifier = Annotated[int, Field(ge=1, lt=1 << 53)]
Port = Annotated[str, Field(pattern=r"^[0-9]{1,5}/(tcp|udp)$")]
Microusd = Annotated[int, Field(ge=0, le=10**12)]
EpochSeconds = Annotated[int, Field(ge=0, lt=1 << 33)]


class Body(BaseModel):
    """Nothing is guessed: types are exact, unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class RegistryLogin(Body):
    """For a private image; sealed to the host, which alone opens it for the pull."""

    server: Annotated[str, Field(max_length=256, description="Left out: the engine's default registry.")] = ""
    username: Annotated[str, Field(min_length=1, max_length=256)]
    password: Annotated[str, Field(min_length=1, max_length=4096)]


class OpenContract(Body):
    """Rent an offer."""

    model_config = ConfigDict(json_schema_extra={"examples": [A_RENTAL]})

    offer_id: Identifier
    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=IMAGE)]
    mode: Annotated[Literal["args", "ssh", "jupyter"], Field(description="How to get in. Only `args` yet.")] = "args"
    ports: Annotated[list[Port], Field(max_length=64, description="Not available yet.")] = []
    ssh_keys: Annotated[list[Text], Field(max_length=16, description="Not available yet.")] = []
    login: Annotated[RegistryLogin | None, Field(description="For a private image.")] = None
    onstart: Annotated[Text | None, Field(description="Not available yet.")] = None
    entrypoint: Annotated[
        Annotated[list[Text], Field(max_length=64)] | None, Field(description="In place of the image's own.")
    ] = None
    args: Annotated[
        Annotated[list[Text], Field(max_length=256)] | None, Field(description="In place of the image's own command.")
    ] = None
    env: Annotated[dict[str, Text], Field(description="Sealed to the host; answers show the names only.")] = {}
    disk_gib: Annotated[int, Field(ge=1, le=1 << 20, description="For each instance.")]
    duration_s: Annotated[
        Annotated[int, Field(ge=1, lt=1 << 31)] | None, Field(description="null: as long as the offer lasts.")
    ] = None
    label: Annotated[str, Field(max_length=256)] = ""
    instances: Annotated[
        int, Field(ge=1, le=64, description="Containers that split the GPUs evenly: a divisor of their number.")
    ] = 1

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
    """Start, stop or reboot one instance, or all when it is left out."""

    instance_id: Identifier | None = None


class RunCommand(Body):
    """A command to run in a running instance."""

    instance_id: Annotated[Identifier | None, Field(description="Left out: the contract's first instance.")] = None
    command: Annotated[
        list[Text],
        Field(min_length=1, max_length=64, description="The program and its arguments; no shell in between."),
    ]
    timeout_s: Annotated[int, Field(ge=1, le=20, description="Then it is killed.")] = 10

    @field_validator("command")
    @classmethod
    def check_no_nul(cls, command: list[str]) -> list[str]:
        if any("\0" in text for text in command):
            raise ValueError("no text may hold a NUL character")
        return command


class ExtendContract(Body):
    """Move the end of a contract later."""

    end_at: Annotated[EpochSeconds, Field(description="Later than the present end.")]


class AddHost(Body):
    """Announce a machine."""

    label: Annotated[str, Field(max_length=256)] = ""


class RetireHost(Body):
    """Give a host up, for good."""


class OpenAccount(Body):
    """Who rents or lets. The name is given once and never changes."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._@-]*$")]
    label: Annotated[str, Field(max_length=256)] = ""

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if name in RESERVED_ACCOUNTS:
            raise ValueError("timelines use this name for what no account has done")
        return name


class IssueKey(Body):
    """A new API key; account and role are the caller's own where they are left out."""

    account: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    role: Literal["client", "host", "admin"] | None = None
    label: Annotated[str, Field(max_length=256)] = ""


class ListHost(Body):
    """Put a host on the market; prices in micro-dollars per GPU and hour, and per GiB and month of 730 h."""

    gpu_price_microusd_h: Microusd
    disk_price_microusd_gib_month: Microusd = 0
    end_at: Annotated[EpochSeconds, Field(description="No contract is made beyond this.")]
    min_gpus: Annotated[int, Field(ge=1, le=64, description="The smallest offer.")] = 1
    allow_soft_disk: Annotated[bool, Field(description="List a host that cannot enforce disk sizes.")] = False
