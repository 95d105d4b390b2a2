"""Stand-ins for what the daemon touches: time, engine, API, event bus."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gpulease_host.api import ApiError, ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import (
    Container,
    DockerSight,
    EngineError,
    EngineUnavailableError,
    GpuCheck,
    Limits,
    Order,
    OrderedGpu,
    Overrun,
    OvertakenError,
    PullWatch,
    Secrets,
    StillWanted,
)
from gpulease_host.machine_key import SEAL_INFO, MachineKey, from_b64, to_b64
from gpulease_host.sender import Kind, SendError
from gpulease_host.wire import order_to_wire
from tests.host.orders import HOST_ID, NOW, inventory, uuid_of

if TYPE_CHECKING:
    from tests.host.notary import Notary  # it needs the service, which a daemon on fakes does not have

_starts = itertools.count(1)


class FakeClock:
    """Both clocks of the daemon; sleeping moves them."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeDataRoot:
    """What lies where Docker keeps its data; `folder` on a disk, so that it outlives the process."""

    def __init__(self, folder: Path | None = None) -> None:
        self.now = DockerSight("docker-1", "/var/lib/docker", None, is_covered=False)
        self.error: EngineError | None = None
        self.mark_error: EngineError | None = None
        self._file = None if folder is None else folder / "mark"

    def see(self) -> DockerSight:
        if self.error is not None:
            raise self.error
        if self._file is not None and self._file.exists():
            return replace(self.now, mark=self._file.read_text())
        return self.now

    def mark(self, mark: str) -> None:
        if self.mark_error is not None:
            raise self.mark_error
        self.now = replace(self.now, mark=mark)
        if self._file is not None:
            self._file.write_text(mark)


class FakeEngine:
    """Containers in a dict. Two running containers on one GPU are noted in `violations`."""

    def __init__(self, clock: FakeClock, gpus: int = 4) -> None:
        self.clock = clock
        self.data_root = FakeDataRoot()
        self.gpus = gpus
        self.gone: set[int] = set()
        self.told: dict[str, Any] = {}
        """What the inventory says instead, by name."""
        self.held: dict[int, Container] = {}
        self.calls: list[str] = []
        self.secrets: dict[int, Secrets] = {}
        self.violations: list[str] = []
        self.is_down = False
        self.start_error: EngineError | None = None
        self.trial_errors: dict[int, EngineError] = {}
        """By the index of the GPU."""
        self.login_error: EngineError | None = None
        self.remove_error: EngineError | None = None
        self.pull_error: EngineError | None = None
        self.watch_error: Exception | None = None
        self.hold_error: EngineError | None = None
        self.while_pulling: Callable[[PullWatch], object] = lambda _watch: None
        self.dirty: dict[int, str] = {}
        self.commands: list[tuple[int, tuple[str, ...]]] = []
        self.while_running: Callable[[], object] = lambda: None
        self.overruns: list[Overrun] = []
        self.watched: Mapping[int, Limits] = {}
        self.not_startable: str | None = None
        self.not_reached: str | None = None
        self.ssh_keys: dict[int, tuple[str, ...]] = {}
        self.host_keys: dict[int, str] = {}
        self.address: str | None = None
        self.while_removing: Callable[[], object] = lambda: None
        self._lock = threading.RLock()

    def inventory(self) -> dict[str, Any]:
        self._check_up()
        return inventory(self.gpus, self.gone) | self.told

    def containers(self, of: int | None = None) -> list[Container]:
        self._check_up()
        with self._lock:
            return list(self.held.values())

    def pull(self, order: Order, secrets: Secrets, watch: PullWatch) -> None:
        self._check_up()
        self.while_pulling(watch)
        if self.pull_error is not None:
            raise self.pull_error
        if not watch.is_wanted():
            raise OvertakenError("It is no longer wanted running.")

    def start(self, order: Order, secrets: Secrets, still_wanted: StillWanted = lambda: True) -> None:
        self._check_up()
        if not still_wanted():
            raise OvertakenError("It is no longer wanted running.")
        with self._lock:
            self.calls.append(f"start {order.instance_id} g{order.generation}")
            if self.start_error is not None:
                raise self.start_error
            gpus = tuple(gpu.uuid for gpu in order.gpus)
            for other in self.held.values():
                if other.instance_id != order.instance_id and other.status == "running" and set(other.gpus) & set(gpus):
                    self.violations.append(f"{order.instance_id} and {other.instance_id} share a GPU")
            self.secrets[order.instance_id] = secrets
            before = self.held.get(order.instance_id)
            generation = order.generation if before is None else before.generation
            token = (order.token or 0) if before is None else before.token
            self.held[order.instance_id] = Container(
                order.contract_id, order.instance_id, generation, token,
                "running", None, False, int(self.clock()), f"start {next(_starts)} of {os.getpid()}", None, gpus,
                self.address,
            )  # fmt: skip

    def try_start(self, gpus: Sequence[OrderedGpu]) -> None:
        self._check_up()
        self.calls.append("trial " + " ".join(str(gpu.index) for gpu in gpus))
        for gpu in gpus:
            if gpu.index in self.trial_errors:
                raise self.trial_errors[gpu.index]

    def try_way_in(self) -> None:
        self._check_up()
        self.calls.append("log in")
        if self.login_error is not None:
            raise self.login_error

    def why_not_startable(self, order: Order) -> str | None:
        return self.not_startable

    def why_not_reached(self, order: Order) -> str | None:
        self._check_up()
        self.calls.append(f"try {order.instance_id}")
        return self.not_reached

    def ssh_host_key(self, instance_id: int) -> str | None:
        return self.host_keys.get(instance_id)

    def set_ssh_keys(self, instance_id: int, keys: Sequence[str]) -> None:
        self._check_up()
        self.calls.append(f"keys {instance_id}")
        self.ssh_keys[instance_id] = tuple(keys)

    def stop(self, instance_id: int, grace_s: int = 10) -> None:
        self._check_up()
        with self._lock:
            self.calls.append(f"stop {instance_id}")
            if instance_id in self.held and self.held[instance_id].status == "running":
                self.exit(instance_id, 137)

    def kill(self, instance_id: int) -> bool:
        with self._lock:
            self.calls.append(f"kill {instance_id}")
            is_running = self.is_running(instance_id)
            if is_running:
                self.exit(instance_id, 137)
            return is_running

    def remove(self, contract_id: int, instance_id: int) -> None:
        self._check_up()
        with self._lock:
            self.calls.append(f"remove {instance_id}")
            self.while_removing()
            self.held.pop(instance_id, None)
            if self.remove_error is not None:
                raise self.remove_error

    def remove_networks(self) -> None:
        self._check_up()
        with self._lock:
            assert not self.held, "Docker refuses while a container is on one"
            self.calls.append("remove networks")

    def run_command(self, instance_id: int, command: Sequence[str], timeout_s: int) -> dict[str, Any]:
        self._check_up()
        if not self.is_running(instance_id):
            raise EngineError("It does not run.")
        self.while_running()
        self.commands.append((instance_id, tuple(command)))
        return {"exit_code": 0, "stdout": "done", "stderr": "", "truncated": False}

    def read_logs(self, instance_id: int, tail: int, since: int | None, cursor: str | None) -> dict[str, Any]:
        self._check_up()
        line = {"at": "2026-01-01T00:00:00.000000001Z", "stream": "stdout", "text": f"hello {tail} {since} {cursor}"}
        return {"items": [line], "next": "1767225600.000000001"}

    def gpu_checks(self) -> list[GpuCheck]:
        self._check_up()
        busy = {uuid for each in self.held.values() if each.status == "running" for uuid in each.gpus}
        return [
            GpuCheck(place, uuid_of(gpu), uuid_of(gpu) not in busy and gpu not in self.dirty, self.dirty.get(gpu))
            for place, gpu in enumerate(index for index in range(self.gpus) if index not in self.gone)
        ]

    def hold(self, limits: Mapping[int, Limits]) -> None:
        self.watched = dict(limits)
        if self.hold_error is not None:
            raise self.hold_error

    def watch(self, limits: Mapping[int, Limits]) -> list[Overrun]:
        self._check_up()
        if self.watch_error is not None:
            raise self.watch_error
        return self.overruns

    def events(self) -> Iterator[int]:
        return iter(())

    def disk_used_bytes(self, instance_id: int) -> int | None:
        return 1

    def unenforced(self) -> list[str]:
        return []

    def exit(self, instance_id: int, exit_code: int, oom_killed: bool = False) -> None:
        """The container ends by itself, or was ended."""
        ended = replace(self.held[instance_id], status="exited", exit_code=exit_code, oom_killed=oom_killed)
        self.held[instance_id] = ended

    def is_running(self, instance_id: int) -> bool:
        return instance_id in self.held and self.held[instance_id].status == "running"

    def starts(self) -> list[str]:
        return [call for call in self.calls if call.startswith("start")]

    def _check_up(self) -> None:
        if self.is_down:
            raise EngineUnavailableError("Docker does not answer.")


@dataclass(frozen=True)
class PublicKey:
    """What the control plane knows of a machine key."""

    signing_public: bytes
    sealing_public: bytes

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self.signing_public + self.sealing_public).hexdigest()[:16]


class FakeApi:
    """Grants every fetch and certificate, names `orders` in the manifest; `error` is raised instead when set."""

    def __init__(self, key: MachineKey, authority: Notary) -> None:
        self.authority = authority
        self.certified: list[Order] = []
        self.certificate_error: ApiError | None = None
        self.certificate_answer: Any = None
        self.key = PublicKey(key.signing_public, key.sealing_public)
        self.orders: list[Order] = []
        self.fetched: list[Order] = []
        self.secrets: bytes | None = None
        self.ssh_keys: list[str] = []
        self.fetch_error: ApiError | None = None
        self.manifest_error: ApiError | None = None
        self.sealed_key_ids: list[str] | None = None
        self.calls: dict[str, dict[str, Any]] = {}
        self.replies: list[tuple[str, str]] = []
        self.after_reply: Callable[[], object] = lambda: None
        self.tunnel_keys: list[str] = []
        self.tunnel_error: ApiError | None = None
        self.proxies: list[dict[str, Any]] = []
        self.lost_answers = 0
        """So many replacements of the key are done without an answer."""
        self.is_retired = False
        self.hear: Callable[[], object] = lambda: None
        """Each answer tells the time."""

    def fetch(self, order: Order) -> Any:
        self.fetched.append(order)
        if self.fetch_error is not None:
            raise self.fetch_error
        self.hear()
        sealed = None if self.secrets is None else seal(self.key, order.contract_id, self.secrets)
        return {"v": 1, "key_id": self.key.key_id, "sealed": sealed, "ssh_keys": self.ssh_keys}

    def certify(self, order: Order, csr: str) -> Any:
        self.certified.append(order)
        if self.certificate_error is not None:
            raise self.certificate_error
        if self.certificate_answer is not None:
            return self.certificate_answer
        return {"v": 1, "certificate": self.authority.sign(order.instance_id, csr), "not_after": 0}

    def manifest(self) -> Any:
        if self.manifest_error is not None:
            raise self.manifest_error
        self.hear()
        named = {} if self.sealed_key_ids is None else {"sealed_key_ids": self.sealed_key_ids}
        return {"v": 1, "host_id": HOST_ID, "orders": [order_to_wire(each) for each in self.orders], **named}

    def open_tunnel(self, public_key: str) -> Any:
        self.tunnel_keys.append(public_key)
        if self.tunnel_error is not None:
            raise self.tunnel_error
        return {"v": 1, "host_id": HOST_ID, "proxies": self.proxies}

    def show_call(self, call_id: str) -> Any:
        if call_id not in self.calls:
            raise ApiRefusedError(409, "not_current", "Nobody waits for this any more.")
        return {"v": 1, "call_id": call_id, "contract_id": 10, "instance_id": 11, **self.calls[call_id]}

    def reply(self, call_id: str, sealed: str) -> Any:
        self.replies.append((call_id, sealed))
        self.after_reply()
        return {"v": 1}

    def signed_by(self, key: MachineKey) -> FakeKeyApi:
        return FakeKeyApi(self, key)


@dataclass(frozen=True)
class FakeKeyApi:
    """The API as somebody asks who signs with `key`."""

    api: FakeApi
    key: MachineKey

    def replace_key(self, body: dict[str, Any]) -> Any:
        if self.api.manifest_error is not None:
            raise self.api.manifest_error
        if self.key.key_id != self.api.key.key_id:
            raise ApiRefusedError(401, "unauthenticated", "Another key is in force.")
        if self.api.is_retired:
            raise ApiRefusedError(409, "host_retired", "This host was given up.")
        new = PublicKey(from_b64(body["signing_key"]), from_b64(body["sealing_key"]))
        public = Ed25519PublicKey.from_public_bytes(new.signing_public)
        proven = jwt.decode(body["proof"], public, algorithms=["EdDSA"], options={"verify_iss": False})
        if self.key.key_id != new.key_id:
            assert proven == {"iss": str(HOST_ID), "replaces": self.key.key_id}
        self.api.key = new
        if self.api.lost_answers:
            self.api.lost_answers -= 1
            raise ApiUnreachableError("the answer is lost")
        return {"v": 1, "host_id": HOST_ID, "key_id": self.api.key.key_id}


class FakeSink:
    def __init__(self) -> None:
        self.sent: list[tuple[Kind, dict[str, Any]]] = []
        self.is_down = False

    def put(self, kind: Kind, detail: dict[str, Any]) -> None:
        if self.is_down:
            raise SendError("EventBridge does not answer.")
        self.sent.append((kind, detail))


def seal(key: MachineKey | PublicKey, contract_id: int, plaintext: bytes) -> str:
    """As the control plane seals."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    public = X25519PublicKey.from_public_bytes(key.sealing_public)
    aad = str(contract_id).encode()
    return to_b64(suite.encrypt(plaintext, public, info=SEAL_INFO + aad))
