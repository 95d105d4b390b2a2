"""What the daemon asks of the machine: orders from the control plane, containers, and the engine that runs them.

The daemon decides, an `Engine` does. Everything here is plain data, so the daemon's rules are tested against a fake
engine and the Docker engine is tested against the kernel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

HIDDEN = "…"
TELLING_LENGTH = 6

Desired = Literal["running", "stopped", "absent"]
Transport = Literal["tcp", "udp"]
Pull = Literal["missing", "changed"]

NOBODY = 0
"""No instance has this id."""

WAYS_IN = frozenset({"ssh", "jupyter"})
"""The modes in which the host lets people in; in any other the image looks after itself."""


@dataclass(frozen=True)
class Limits:
    """The share of one instance; sizes in bytes, weights in permille of the whole host."""

    gpus: str
    cpu_weight_permille: int
    memory_baseline_bytes: int
    memory_limit_bytes: int
    shm_bytes: int
    pids: int
    disk_bytes: int
    io_weight_permille: int


@dataclass(frozen=True)
class OrderedGpu:
    index: int
    uuid: str


@dataclass(frozen=True)
class Port:
    """A port of the container, and where the host publishes it; None: not yet, or not at all."""

    container: int
    protocol: Transport
    host: int | None


@dataclass(frozen=True)
class Order:
    """The whole wanted state of one instance, as the control plane sent it (schemas/command.v1.json)."""

    contract_id: int
    instance_id: int
    generation: int
    desired: Desired
    token: int | None
    end_at: int
    delete_after: int
    image: str
    mode: str
    ports: tuple[Port, ...]
    gpus: tuple[OrderedGpu, ...]
    limits: Limits
    start_by: int | None = None
    """When the control plane gives this start up; None when it waits as long as the contract lasts."""
    keys_revision: int = 0
    """Rises when the contract's ssh keys change; the keys themselves are fetched."""
    proxy_ssh_port: int | None = None
    """Its number on the deployment's proxies, in modes ssh and jupyter; None where there is none."""
    proxy_jupyter_port: int | None = None
    stop_grace_s: int | None = None
    """Between being asked to stop and being killed; None: as this host has it."""
    init: bool = False
    """Whether a process that reaps is put before the image's own, in mode args."""
    pull: Pull = "missing"
    """`changed`: an image that is there is held against its registry, where that answers."""


@dataclass(frozen=True)
class Secrets:
    """What a start needs and no order carries, most of it sealed; values never appear in a repr."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    entrypoint: list[str] | None = field(default=None, repr=False)
    args: list[str] | None = field(default=None, repr=False)
    onstart: str | None = field(default=None, repr=False)
    login: Mapping[str, str] | None = field(default=None, repr=False)
    ssh_keys: tuple[str, ...] = field(default=(), repr=False)
    """Public: they come beside the sealed text."""
    jupyter_token: str | None = field(default=None, repr=False)

    def hide(self, text: str) -> str:
        """The text without them: Docker's refusals quote commands. Short ones are common words unless quoted."""
        values = [*self.env.values(), *(self.entrypoint or ()), *(self.args or ()), self.onstart or ""]
        values.append(self.jupyter_token or "")
        login = [value for name, value in (self.login or {}).items() if name != "server"]  # the image names it too
        for value in sorted({*values, *login} - {""}, key=len, reverse=True):
            escaped = json.dumps(value, ensure_ascii=False)
            text = text.replace(escaped, f'"{HIDDEN}"')
            if len(value) >= TELLING_LENGTH:
                text = text.replace(escaped[1:-1], HIDDEN).replace(value, HIDDEN)
        return text


@dataclass(frozen=True)
class Container:
    """A container of ours as the engine sees it now."""

    contract_id: int
    instance_id: int
    generation: int
    token: int
    status: Literal["created", "running", "exited"]
    exit_code: int | None
    oom_killed: bool
    started_at: int | None
    run: str | None
    """Another for each start of the container, None before the first: seconds do not tell two quick starts apart."""
    error: str | None
    """Why its program never began, in a sentence for the client."""
    gpus: tuple[str, ...]
    """Their UUIDs: the driver numbers its GPUs anew when one is gone."""
    address: str | None = None
    """Where this host reaches it, while it runs."""
    hangs: str | None = None
    """Why Docker does not say more of it; whether it runs is the kernel's word then."""
    image_digest: str | None = None
    """By which the image's registry has it, or its id where it has come from none."""
    onstart_exit_code: int | None = None
    """While it runs, once its `onstart` has ended."""
    is_killed: bool = False
    """Whether it ended because somebody had Docker signal it, who was not this host."""


@dataclass(frozen=True)
class DockerSight:
    """Which Docker answers, and what lies in its data root."""

    docker_id: str
    data_root: str
    mark: str | None
    """This host's, as it lies there now."""
    is_covered: bool
    """Whether Docker goes on with other data than what is in that folder now."""
    leftovers: tuple[str, ...] = ()
    """Containers that lie there, where only this says that it is covered: Docker shows none at all."""


@dataclass(frozen=True)
class GpuCheck:
    """Whether a GPU could be handed to the next tenant now; `reason` says why not."""

    index: int
    uuid: str
    clean: bool
    reason: str | None


@dataclass(frozen=True)
class Overrun:
    """An instance that uses more disk than it holds, on a host that can only watch."""

    instance_id: int
    used_bytes: int
    allowed_bytes: int


@dataclass(frozen=True)
class Progress:
    """How far a pull is. `total_bytes` is what the registry has told so far, compressed: it grows at first."""

    layers_done: int
    layers: int
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class PullWatch:
    """What a pull asks and tells while it lasts, several times a second."""

    is_wanted: Callable[[], bool]
    say: Callable[[str, Progress], None]
    """In a sentence, and in figures."""


class EngineError(Exception):
    """The engine could not do what was asked.

    - ImageMissingError: the image is not to be had, or may not be used; says why, and what to do
    - EngineUnavailableError: Docker does not answer, or the host lacks what every container needs; tried again later
      ├── HostNotPreparedError: the host's own rules or groups could not be made
      └── DataMissingError: it does, but without the data that it had
    - LimitsError: a limit could not be set, or read back differently
    - DiskError: the disk allocation could not be made
    - NotStartedError: a container did not start; the code says why
      ├── HostFaultError: nothing that its client could have done would have helped
      └── PortTakenError: a port of the host on which one of the container was to be published is in use
    - OvertakenError: nothing was started, because it is no longer wanted
    - StuckError: Docker answers for others, and hangs on this container

    `details` is what another program said, for this host's log: no report passes it on.
    """

    code = "engine_error"

    def __init__(self, sentence: str = "", details: str = "") -> None:
        super().__init__(sentence)
        self.details = details

    @property
    def for_log(self) -> str:
        return f"{self} ({self.details})" if self.details else str(self)


class ImageMissingError(EngineError):
    code = "image_missing"


class EngineUnavailableError(EngineError):
    code = "engine_unavailable"


class HostNotPreparedError(EngineUnavailableError):
    code = "host_not_prepared"


class DataMissingError(EngineUnavailableError):
    code = "docker_data_missing"


class LimitsError(EngineError):
    code = "limits_refused"


class DiskError(EngineError):
    code = "disk_refused"


class NotStartedError(EngineError):
    """The sentence is for the client of the contract."""

    code = "start_failed"

    def __init__(self, sentence: str, code: str = code, details: str = "") -> None:
        super().__init__(sentence, details)
        self.code = code


class HostFaultError(NotStartedError):
    """`for_owner` says what is to be mended; `of_gpus`: only where these GPUs are asked for."""

    def __init__(self, sentence: str, code: str, for_owner: str, *, of_gpus: bool = False, details: str = "") -> None:
        super().__init__(sentence, code, details)
        self.for_owner, self.of_gpus = for_owner, of_gpus


class PortTakenError(NotStartedError):
    def __init__(self, sentence: str, ports: tuple[Port, ...], details: str = "") -> None:
        super().__init__(sentence, "port_taken", details)
        self.ports = ports


class OvertakenError(EngineError):
    code = "overtaken"


class StuckError(EngineError):
    code = "container_stuck"


StillWanted = Callable[[], bool]


class CallEngine(Protocol):
    """What clients wait for. Outputs are bounded; both raise EngineError."""

    def run_command(self, instance_id: int, command: Sequence[str], timeout_s: int) -> dict[str, Any]:
        """`exit_code`, `stdout`, `stderr`, `truncated`; `exit_code` None: it was killed for taking too long."""
        ...

    def read_logs(self, instance_id: int, tail: int, since: int | None, cursor: str | None) -> dict[str, Any]:
        """`items` (`at`, `stream`, `text`), oldest first, and `next`, the cursor of what comes after."""
        ...


class DataRoot(Protocol):
    """Where Docker keeps its data. Both raise EngineError."""

    def see(self) -> DockerSight: ...

    def mark(self, mark: str) -> None:
        """Durably."""
        ...


class Engine(CallEngine, Protocol):
    """Every call is idempotent and raises only `EngineError`."""

    @property
    def data_root(self) -> DataRoot: ...

    def inventory(self) -> dict[str, Any]: ...

    def containers(self, of: int | None = None) -> list[Container]:
        """With `of`, only that instance is looked at closely; of the others it is known what runs, and on which GPUs.

        A container on which Docker hangs keeps the others from nothing.
        """
        ...

    def pull(self, order: Order, secrets: Secrets, watch: PullWatch) -> None:
        """Have the image that `start` needs. May take long; raises OvertakenError once it is no longer wanted."""
        ...

    def start(self, order: Order, secrets: Secrets, still_wanted: StillWanted) -> None:
        """Raises OvertakenError when it is no longer wanted once everything is prepared."""
        ...

    def try_start(self, gpus: Sequence[OrderedGpu]) -> None:
        """Start a container of the host's own as a client's would be, and remove it. Raises as `start` does."""
        ...

    def try_way_in(self) -> None:
        """Start one of the host's own in mode ssh, log in as a client would, and remove it.

        Raises EngineError where nobody got in, or that could not be tried yet; after two failures the inventory's
        `modes` say so.
        """
        ...

    def why_not_startable(self, order: Order) -> str | None:
        """A sentence while a start would have to wait for something of this host, as the toolkit being built."""
        ...

    def why_not_reached(self, order: Order) -> str | None:
        """A sentence while nobody can get into the running container in the way that its mode promises."""
        ...

    def ssh_host_key(self, instance_id: int) -> str | None:
        """The public key by which its ssh is known, as OpenSSH writes it; None while there is none."""
        ...

    def set_ssh_keys(self, instance_id: int, keys: Sequence[str]) -> None:
        """From now on these let people in, and sessions of others end; while it runs, too."""
        ...

    def stop(self, instance_id: int, grace_s: int = 10) -> None:
        """It has stopped when this returns, on Docker's word or, where that refuses or hangs, on the kernel's."""
        ...

    def kill(self, instance_id: int) -> bool:
        """End it at once, and without Docker, which may be away, stuck, or on other data. Whether anything ran."""
        ...

    def remove(self, contract_id: int, instance_id: int) -> None: ...

    def remove_networks(self) -> None:
        """All of this host, once no container of it is left: also those of starts that broke off."""
        ...

    def gpu_checks(self) -> list[GpuCheck]: ...

    def hold(self, limits: Mapping[int, Limits]) -> None:
        """Hold these to their shares and all tenants apart, without Docker as well."""
        ...

    def watch(self, limits: Mapping[int, Limits]) -> list[Overrun]:
        """Those of them that use more disk than they may."""
        ...

    def events(self) -> Iterator[int]: ...

    def disk_used_bytes(self, instance_id: int) -> int | None: ...

    def unenforced(self) -> list[str]: ...


class OpenEngine(Protocol):
    """How a daemon or a registration gets its engine: `gpulease_host.docker_engine.open_engine`.

    `host_id` is 0 at registration, when only `inventory` is asked. `simulate_gpus` 0 means the machine's own GPUs.
    """

    def __call__(self, host_id: int, simulate_gpus: int) -> Engine: ...
