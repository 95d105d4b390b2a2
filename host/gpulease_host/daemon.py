"""The daemon: puts its parts together, starts their threads, and stops without touching a container.

socket ──► intake ──► ledger (journal) ──► queue ──► workers: decide, do ──► engine
asking (manifest) ───┘       │                ▲
                             │                ├── watch, each second        tunnels ──► proxies
                             │                │   enforcement, without Docker
                             ▼                └── the engine's events
                          report ──► sender ──► EventBridge
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from gpulease_host.api import ApiError
from gpulease_host.apply import Applier
from gpulease_host.asking import Asker, ManifestApi
from gpulease_host.backoff import Backoff
from gpulease_host.calls import CallApi, Calls
from gpulease_host.docker_down import DockerDown
from gpulease_host.enforcement import Enforcement
from gpulease_host.engine import NOBODY, Engine, EngineError
from gpulease_host.gpus import Gpus, holders
from gpulease_host.instance_queue import InstanceQueue
from gpulease_host.intake import Intake
from gpulease_host.key_ring import KeyRing
from gpulease_host.launch.certificates import CertificateApi, Certificates
from gpulease_host.ledger import Ledger
from gpulease_host.loading import Loading
from gpulease_host.log import Log
from gpulease_host.machine_key import MachineKey
from gpulease_host.permission import FetchApi, Permissions
from gpulease_host.report import Reporter
from gpulease_host.rotation import KeyApi, Rotation
from gpulease_host.same_docker import SameDocker
from gpulease_host.sender import Sender, Sink
from gpulease_host.settings import Settings
from gpulease_host.start_faults import StartFaults
from gpulease_host.taken_ports import TakenPorts
from gpulease_host.threads import repeat
from gpulease_host.trials import Trials
from gpulease_host.trusted_clock import TrustedClock
from gpulease_host.tunnels.connection import Connect, SshConnection
from gpulease_host.tunnels.tunnels import TunnelApi, Tunnels
from gpulease_host.unix_socket import SocketServer
from gpulease_host.watch import Watch
from gpulease_host.workers import Workers
from gpulease_host.world import World

WATCH_S = 1.0
ASK_LOOK_S = 2.0
EVENTS_AGAIN_S = 1.0
ENGINE_WAIT_S = 2.0
KEY_LOOK_S = 5.0
CERTIFICATE_LOOK_S = 60.0


class HostApi(FetchApi, CertificateApi, ManifestApi, CallApi, TunnelApi, Protocol):
    """What the daemon asks of the control plane."""


@dataclass(frozen=True)
class Parts:
    """What the daemon gets from outside; tests bring their own."""

    settings: Settings
    host_id: int
    keys: KeyRing
    engine: Engine
    api: HostApi
    open_key_api: Callable[[MachineKey], KeyApi]
    sink: Sink
    read_run: Callable[[], str]
    boot_id: str
    log: Log
    clock: TrustedClock = field(default_factory=TrustedClock)
    elapsed: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = field(default=random.random)
    connect: Connect = SshConnection.open
    """To a proxy."""


class Daemon:
    """All parts, put together around one ledger. Nothing runs before `start`."""

    def __init__(self, parts: Parts, inventory: dict[str, Any], ledger: Ledger | None = None) -> None:
        self.parts = parts
        self.stopping = threading.Event()
        self.queue = InstanceQueue(parts.elapsed)
        self.ledger = ledger or open_ledger(parts)
        self.enforcement = enforcement_of(parts, self.ledger)
        self.docker = self._build_docker()
        docker_down = DockerDown(parts.elapsed)
        self.start_faults = StartFaults(lambda: self.sender.ring())
        self.taken_ports = TakenPorts()
        self.world = World(
            parts.engine, inventory, parts.read_run, parts.clock, self.docker, docker_down, self.start_faults
        )
        self.gpus = Gpus(parts.engine, inventory, parts.elapsed, parts.sleep)
        self.rotation = Rotation(parts.keys, parts.open_key_api, parts.host_id, parts.log)
        self.asker = self._build_asker()
        self.loading = Loading(parts.elapsed, lambda: self.sender.ring())
        self.reporter = Reporter(
            self.ledger, self.world, self.gpus, self.loading, lambda: self.asker.is_sweeping, self.taken_ports
        )
        self.trials = self._build_trials()
        self.sender = self._build_sender()
        self.ledger.on_change = self.sender.ring
        self.certificates = self._build_certificates()
        self.tunnels = self._build_tunnels()
        self.applier = self._build_applier()
        self.watch = self._build_watch()
        self.calls = Calls(parts.api, parts.keys, parts.engine, parts.log, parts.elapsed, self.docker.check)
        self.intake = self._build_intake()
        self._ask_backoff = Backoff(1.0, 60.0, parts.random)
        self._key_backoff = Backoff(1.0, 60.0, parts.random)
        self._workers = Workers(self.queue, self.applier.settle, parts.log, len(inventory["gpus"]))
        self._socket: SocketServer | None = None

    def start(self) -> None:
        """Take up what the journal knows, then listen."""
        repeat("ends", self._end_overdue, self.stopping, self.stopping)
        repeat("shares", self._hold_shares, self.stopping, self.stopping)
        records = self.ledger.view().records
        self.gpus.look(holders(records).keys())
        for instance_id in records:
            self.queue.add(instance_id)
        self.sender.ring(must_say=True)
        self._workers.start()
        repeat("watch", self._watch_once, self.stopping, self.stopping)
        repeat("events", self._follow_events, self.stopping, self.stopping)
        repeat("asking", self._ask_once, self.stopping, self.stopping)
        repeat("trials", self.trials.step, self.stopping, self.stopping)
        repeat("certificates", self.renew_certificates, self.stopping, self.stopping)
        repeat("key", self._finish_rotation, self.stopping, self.stopping)
        repeat("tunnels", self.tunnels.step, self.stopping, self.stopping)
        repeat("sender", self.sender.step, self.sender.bell, self.stopping)
        self._socket = SocketServer(self.parts.settings.folder, self.intake.answer)
        self._socket.start()
        self.parts.log.say("daemon started", host_id=self.parts.host_id, boot_id=self.parts.boot_id)

    def stop(self) -> None:
        """Take no more orders and begin nothing more. Containers run on."""
        self.stopping.set()
        self.sender.bell.set()
        if self._socket is not None:
            self._socket.stop()
        self._workers.stop()
        self.tunnels.close()
        self.calls.stop()
        self.parts.log.say("daemon stopped")

    def _watch_once(self) -> float:
        self.watch.tick()
        return WATCH_S

    def _end_overdue(self) -> float:
        self.enforcement.end_overdue()
        return WATCH_S

    def _hold_shares(self) -> float:
        self.enforcement.hold_shares()
        return WATCH_S

    def _ask_once(self) -> float:
        if not self.asker.is_due():
            return ASK_LOOK_S
        if not self.asker.ask():
            return self._ask_backoff.failed("ask")
        self._ask_backoff.succeeded("ask")
        self.sender.ring(must_say=True)
        return ASK_LOOK_S

    def _rotate_key(self) -> str:
        key_id = self.rotation.rotate()
        self.sender.ring(must_say=True)
        return key_id

    def _finish_rotation(self) -> float:
        """What was begun before a crash, or whose answer was lost."""
        try:
            if self.rotation.finish():
                self.sender.ring(must_say=True)
        except ApiError as error:
            self.parts.log.say("machine key not replaced", reason=str(error))
            return self._key_backoff.failed("key")
        self._key_backoff.succeeded("key")
        return KEY_LOOK_S

    def renew_certificates(self) -> float:
        records = self.ledger.view().records.values()
        self.certificates.renew(record.order for record in records if record.status == "running")
        return CERTIFICATE_LOOK_S

    def _end_everything(self) -> None:
        """This is no host any more: nothing runs on, and nothing is removed unless somebody registers anew."""
        faults: list[EngineError] = []
        try:
            for container in self.world.running():
                try:
                    self.parts.engine.stop(container.instance_id, self.parts.settings.stop_grace_s)
                except EngineError as error:
                    faults.append(error)
        finally:
            for instance_id in self.ledger.view().records:
                self.parts.engine.kill(instance_id)
        if faults:
            raise faults[0]

    def _follow_events(self) -> float:
        try:
            for instance_id in self.parts.engine.events():
                self.queue.add(instance_id)
                if self.stopping.is_set():
                    break
        except EngineError as error:
            self.parts.log.say("engine events broke off", reason=str(error))
        return EVENTS_AGAIN_S

    def _accept_docker(self) -> dict[str, Any]:
        accepted = self.docker.accept()
        for instance_id in accepted["missing"]:
            self.parts.engine.kill(instance_id)  # it counts as gone, so nothing else would end what is left of it
        for instance_id in self.ledger.view().records:
            self.queue.add(instance_id)
        self.sender.ring(must_say=True)
        return accepted

    def _build_docker(self) -> SameDocker:
        parts = self.parts
        return SameDocker(
            root=parts.engine.data_root,
            ledger=self.ledger,
            find=lambda: {each.instance_id for each in parts.engine.containers(NOBODY)},
            read_run=parts.read_run,
            elapsed=parts.elapsed,
            log=parts.log,
        )

    def _build_asker(self) -> Asker:
        parts = self.parts
        return Asker(
            api=parts.api,
            ledger=self.ledger,
            world=self.world,
            host_id=parts.host_id,
            clock=parts.clock,
            elapsed=parts.elapsed,
            attend=self.queue.add,
            log=parts.log,
            keys=parts.keys,
            retire=self._end_everything,
        )

    def _build_sender(self) -> Sender:
        parts = self.parts
        return Sender(
            state=self.reporter.state,
            sink=parts.sink,
            ledger=self.ledger,
            keys=parts.keys,
            host_id=parts.host_id,
            boot_id=parts.boot_id,
            heartbeat_s=parts.settings.heartbeat_s,
            clock=parts.clock,
            elapsed=parts.elapsed,
            random=parts.random,
            backoff=Backoff(0.5, 30.0, parts.random),
            log=parts.log,
        )

    def _build_certificates(self) -> Certificates:
        parts = self.parts
        backoff = Backoff(60.0, 3600.0, parts.random)
        return Certificates(parts.settings.folder, parts.api, parts.clock, parts.elapsed, backoff, parts.log)

    def _build_applier(self) -> Applier:
        parts = self.parts
        return Applier(
            ledger=self.ledger,
            engine=parts.engine,
            world=self.world,
            gpus=self.gpus,
            loading=self.loading,
            permissions=Permissions(parts.api, parts.keys),
            certificates=self.certificates,
            clock=parts.clock,
            again=self.queue.add,
            backoff=Backoff(0.5, 15.0, parts.random),
            log=parts.log,
            stop_grace_s=parts.settings.stop_grace_s,
            withdraw=self.tunnels.withdraw,
            start_faults=self.start_faults,
            taken_ports=self.taken_ports,
            try_soon=self.trials.soon,
        )

    def _build_trials(self) -> Trials:
        parts = self.parts
        return Trials(parts.engine, self.gpus, self.ledger, self.world, self.start_faults, parts.elapsed, parts.log)

    def _build_tunnels(self) -> Tunnels:
        parts = self.parts
        return Tunnels(
            api=parts.api,
            ledger=self.ledger,
            world=self.world,
            key_path=parts.settings.tunnel_key_path,
            connect=parts.connect,
            elapsed=parts.elapsed,
            random=parts.random,
            log=parts.log,
        )

    def _build_watch(self) -> Watch:
        parts = self.parts
        return Watch(
            ledger=self.ledger,
            engine=parts.engine,
            world=self.world,
            gpus=self.gpus,
            clock=parts.clock,
            elapsed=parts.elapsed,
            attend=self.queue.add,
            ring=self.sender.ring,
            log=parts.log,
        )

    def _build_intake(self) -> Intake:
        parts = self.parts
        return Intake(
            ledger=self.ledger,
            world=self.world,
            host_id=parts.host_id,
            clock=parts.clock,
            attend=self.queue.add,
            say_again=lambda: self.sender.ring(must_say=True),
            state=self.reporter.state,
            log=parts.log,
            take_calls=self.calls.take,
            rotate_key=self._rotate_key,
            accept_docker=self._accept_docker,
            faults=self.world.faults,
            retired=lambda: self.asker.retired,
        )


def open_ledger(parts: Parts) -> Ledger:
    """What the host remembers, and the time that goes on from it. Raises JournalError."""
    ledger = Ledger.open(parts.settings.journal_path, parts.host_id, parts.clock)
    parts.clock.resume(ledger.view().time)
    return ledger


def enforcement_of(parts: Parts, ledger: Ledger) -> Enforcement:
    grace_s = parts.settings.stop_grace_s
    return Enforcement(ledger, parts.engine, parts.clock, parts.elapsed, parts.log, grace_s)


def open_daemon(parts: Parts) -> Daemon:
    """Wait for the engine, as long as it takes, then put the daemon together. Ends hold meanwhile."""
    ledger, opened = open_ledger(parts), threading.Event()
    enforcement = enforcement_of(parts, ledger)

    def end_overdue() -> float:
        enforcement.end_overdue()
        return WATCH_S

    repeat("ends", end_overdue, opened, opened)
    try:
        while True:
            try:
                return Daemon(parts, parts.engine.inventory(), ledger)
            except EngineError as error:
                parts.log.say("waits for the engine", reason=str(error))
                parts.sleep(ENGINE_WAIT_S)
    finally:
        opened.set()
