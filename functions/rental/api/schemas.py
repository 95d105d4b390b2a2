"""What clients and host owners may send, checked at the edge. Sizes in GiB, times in seconds."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from rental.api.limits import MAX_ID
from rental.api.numbers import WHOLE
from rental.domain.contract import STOP_GRACE_S, Pull
from rental.domain.errors import ConflictError
from rental.domain.renting import MAX_INSTANCES
from rental.domain.ways_in import JUPYTER, JUPYTER_PORT, SSH, SSH_PORT, WAYS_IN

DRIVER_PARTS = "NVIDIA_DRIVER_CAPABILITIES"
RESERVED = (
    *("DOCKER_RESOURCE_", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCPATH", "MALLOC_TRACE"),
    *("NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS"),
)
"""What NVIDIA's hook or the C library obeys, beside what begins with NVIDIA_ or LD_: the hook runs on the host."""
ENV_NAME = rf"^({DRIVER_PARTS}|(?![Nn][Vv][Ii][Dd][Ii][Aa]_|[Ll][Dd]_|{'|'.join(RESERVED)})[A-Za-z_][A-Za-z0-9_]*)$"
DRIVER_PART = ("all", "compute", "compat32", "graphics", "utility", "video", "display", "ngx")
IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
ENV_BYTES = 32_768
MAX_PORTS = 32
MAX_STOP_GRACE_S = 120
A_RENTAL: dict[str, JsonValue] = {
    "offer_id": 123,
    "image": "alpine:3",
    "args": ["sleep", "600"],
    "env": {"A": "b"},
    "disk_gib": 10,
    "duration_s": 3600,
    "label": "x",
}
DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
RESERVED_ACCOUNTS = ("service", "host")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("no text may hold a NUL character")
    return text


NO_NUL = AfterValidator(_without_nul)
TOLD_NO_NUL: dict[str, JsonValue] = {"pattern": r"^[^\u0000]*$"}

Text = Annotated[str, Field(max_length=4096, json_schema_extra=TOLD_NO_NUL), NO_NUL]
Name = Annotated[str, Field(min_length=1, max_length=256, json_schema_extra=TOLD_NO_NUL), NO_NUL]
Label = Annotated[str, Field(max_length=256, json_schema_extra=TOLD_NO_NUL), NO_NUL]
Identifier = Annotated[int, Field(ge=1, le=MAX_ID), WHOLE]
Microusd = Annotated[int, Field(ge=0, le=10**12), WHOLE]
EpochSeconds = Annotated[int, Field(ge=0, lt=1 << 33), WHOLE]
SshKeyText = Annotated[str, Field(max_length=4096, json_schema_extra=TOLD_NO_NUL), NO_NUL]
"""A public key as people paste it; `rental.domain.pasted_key` says what is wrong with one."""


class Body(BaseModel):
    """Nothing is guessed: types are exact, unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class RegistryLogin(Body):
    """For a private image; sealed to the host, which alone opens it for the pull."""

    server: Annotated[Label, Field(description="The registry of the image; what it is, when left out.")] = ""
    username: Name
    password: Annotated[Text, Field(min_length=1)]


class PortWish(Body):
    """A port that the container listens on; the service chooses the number that the host publishes it under."""

    container: Annotated[int, Field(ge=1, le=65_535), WHOLE]
    protocol: Literal["tcp", "udp"] = "tcp"


class OpenContract(Body):
    """Rent an offer."""

    model_config = ConfigDict(json_schema_extra={"examples": [A_RENTAL]})

    offer_id: Identifier
    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=IMAGE)]
    mode: Annotated[
        Literal["args", "ssh", "jupyter"],
        Field(description="How to get in: `args` runs the image as it is, `jupyter` lets in by ssh too."),
    ] = "args"
    ports: Annotated[list[PortWish], Field(max_length=MAX_PORTS, description="To publish, for each instance.")] = []
    jupyter_via: Annotated[
        Literal["proxy", "direct"] | None,
        Field(description="The one way to JupyterLab; null: over the proxy where the deployment has one."),
    ] = None
    ssh_keys: Annotated[
        Annotated[list[SshKeyText], Field(max_length=16)] | None,
        Field(description="Public keys to let in, in modes `ssh` and `jupyter`. null: all of your account's."),
    ] = None
    login: Annotated[RegistryLogin | None, Field(description="For a private image.")] = None
    onstart: Annotated[
        Text | None, Field(description="Shell commands of modes ssh and jupyter, run once after each start.")
    ] = None
    entrypoint: Annotated[
        Annotated[list[Text], Field(max_length=64)] | None, Field(description="In place of the image's own.")
    ] = None
    args: Annotated[
        Annotated[list[Text], Field(max_length=256)] | None, Field(description="In place of the image's own command.")
    ] = None
    env: Annotated[
        dict[str, Text],
        Field(
            description="Sealed to the host; answers show the names only.",
            json_schema_extra={"propertyNames": {"pattern": ENV_NAME}},
        ),
    ] = {}
    stop_grace_s: Annotated[
        int,
        Field(ge=1, le=MAX_STOP_GRACE_S, description="Seconds between being asked to stop and being killed."),
        WHOLE,
    ] = STOP_GRACE_S
    init: Annotated[
        bool,
        Field(description="In mode `args`: put a process that reaps before the image's own. The other modes have one."),
    ] = False
    pull: Annotated[
        Pull,
        Field(
            description="`missing`: an image that the host has already is used as it is. `changed`: its registry is "
            "asked first, and if it does not answer, what is there is used."
        ),
    ] = "changed"
    disk_gib: Annotated[int, Field(ge=1, le=1 << 20, description="For each instance."), WHOLE]
    duration_s: Annotated[
        Annotated[int, Field(ge=1, lt=1 << 31), WHOLE] | None, Field(description="null: as long as the offer lasts.")
    ] = None
    label: Label = ""
    instances: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_INSTANCES,
            description="Containers that split the GPUs evenly: a divisor of their number. A contract's network has"
            f" {MAX_INSTANCES} addresses.",
        ),
        WHOLE,
    ] = 1

    @field_validator("env")
    @classmethod
    def check_env(cls, env: dict[str, str]) -> dict[str, str]:
        if not all(re.fullmatch(ENV_NAME, name) for name in env):
            raise ValueError(
                "names have letters, digits and underscores only, and none begins with NVIDIA_ (but for "
                f"{DRIVER_PARTS}), LD_, {', '.join(RESERVED[:-1])} or {RESERVED[-1]}: set those in your program, or in "
                "onstart"
            )
        if not set(env.get(DRIVER_PARTS, "all").replace(" ", "").split(",")) <= set(DRIVER_PART):
            raise ValueError(f"{DRIVER_PARTS} has one or more of {', '.join(DRIVER_PART)}, with commas between them")
        if sum(len(name) + len(value.encode()) for name, value in env.items()) > ENV_BYTES:
            raise ValueError(f"all variables together have at most {ENV_BYTES} bytes")
        return env

    @model_validator(mode="after")
    def check_ways_in(self) -> "OpenContract":
        check_mode(self)
        check_ports(self)
        return self


def check_mode(wish: OpenContract) -> None:
    """What belongs to another mode would be ignored without a word. Raises ValueError."""
    if wish.mode != "args" and wish.init:
        raise ValueError(f"init is for mode args: the first process of mode {wish.mode} reaps by itself")
    if wish.mode == "args" and wish.onstart is not None:
        raise ValueError("onstart is for modes ssh and jupyter: in mode args use entrypoint and args")
    if wish.mode != "args" and (wish.entrypoint is not None or wish.args is not None):
        raise ValueError(f"entrypoint and args are for mode args: in mode {wish.mode} use onstart")
    if wish.mode != "jupyter" and wish.jupyter_via is not None:
        raise ValueError("jupyter_via is for mode jupyter")


def check_ports(wish: OpenContract) -> None:
    """Each once, and none that the mode publishes by itself. Raises ValueError."""
    asked = [(port.container, port.protocol) for port in wish.ports]
    if len(set(asked)) < len(asked):
        raise ValueError("ports: each port is named once")
    own = {(port.container, port.protocol) for port in (SSH, JUPYTER)} if wish.mode in WAYS_IN else set()
    if own & set(asked):
        raise ValueError(f"ports: {SSH_PORT}/tcp and {JUPYTER_PORT}/tcp belong to modes ssh and jupyter themselves")


def check_login(wish: OpenContract) -> None:
    """A login goes to the registry of the image and to no other. Raises ConflictError."""
    registry = registry_of(wish.image)
    if wish.login is not None and wish.login.server and registry_of(f"{wish.login.server}/x") != registry:
        raise ConflictError(
            f"The login is for another registry than {registry}, where the image is: name the image in full, "
            "as registry/repository:tag, or leave login.server out."
        )


def registry_of(image: str) -> str:
    """Where an image is, by its name; also of an address that begins with https:// and has a path, as Docker's own."""
    first, slash, _ = image.removeprefix("https://").removeprefix("http://").partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named and first not in DOCKER_HUB else DOCKER_HUB[0]


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
    timeout_s: Annotated[int, Field(ge=1, le=20, description="Then it is killed."), WHOLE] = 10


class ExtendContract(Body):
    """Move the end of a contract later."""

    end_at: Annotated[EpochSeconds, Field(description="Later than the present end.")]


class AddHost(Body):
    """Announce a machine."""

    label: Label = ""


class RetireHost(Body):
    """Give a host up, for good."""


class OpenAccount(Body):
    """Who rents or lets. The name is given once and never changes."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[a-z0-9][a-z0-9._@-]*$",
            json_schema_extra={"not": {"enum": [*RESERVED_ACCOUNTS]}},
        ),
    ]
    label: Label = ""

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if name in RESERVED_ACCOUNTS:
            raise ValueError("timelines use this name for what no account has done")
        return name


class IssueKey(Body):
    """A new API key; account and role are the caller's own where they are left out."""

    account: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    role: Literal["client", "host", "admin", "proxy"] | None = None
    label: Label = ""


class ListHost(Body):
    """Put a host on the market; prices in micro-dollars per GPU and hour, and per GiB and month of 730 h."""

    gpu_price_microusd_h: Microusd
    disk_price_microusd_gib_month: Microusd = 0
    end_at: Annotated[EpochSeconds, Field(description="No contract is made beyond this.")]
    min_gpus: Annotated[int, Field(ge=1, le=64, description="The smallest offer."), WHOLE] = 1
    allow_soft_disk: Annotated[bool, Field(description="List a host that cannot enforce disk sizes.")] = False
