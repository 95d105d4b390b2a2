"""A whole daemon on fakes, without threads: what its threads would do, a test does by calling."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gpulease_host.daemon import Daemon, Parts
from gpulease_host.engine import Order
from gpulease_host.key_ring import KeyRing
from gpulease_host.log import Log
from gpulease_host.machine_key import MachineKey, to_b64
from gpulease_host.records import Record
from gpulease_host.settings import Settings
from gpulease_host.trusted_clock import TrustedClock
from gpulease_host.tunnels.connection import Connect, SshConnection
from gpulease_host.wire import order_to_wire
from tests.host.fakes import FakeApi, FakeClock, FakeEngine, FakeSink
from tests.host.notary import Notary
from tests.host.orders import HOST_ID, inventory

KEY = MachineKey.generate()


@dataclass
class Rig:
    """`boot` starts a daemon on the folder; booting again is a restart, after kill -9 or otherwise."""

    folder: Path
    gpus: int = 4
    clock: FakeClock = field(default_factory=FakeClock)
    run_id: str = "run-1"
    daemon: Daemon = field(init=False)
    log: io.StringIO = field(default_factory=io.StringIO)
    engine: FakeEngine = field(init=False)
    api: FakeApi = field(init=False)
    sink: FakeSink = field(default_factory=FakeSink)
    boots: int = 0
    connect: Connect = SshConnection.open
    machine_boot: str = "machine-1"
    wall_ahead_s: float = 0.0
    """By how much the machine's clock is wrong; `clock` is the service's."""
    uptime_from: float = 0.0
    """When the machine was started."""

    def __post_init__(self) -> None:
        self.engine = FakeEngine(self.clock, self.gpus)
        self.api = FakeApi(KEY, Notary(self.clock))
        if not self.key_path.exists():
            KEY.save(self.key_path)

    @property
    def key_path(self) -> Path:
        return self.folder / "machine.key"

    def boot(self, ask: bool = True) -> Rig:
        self.boots += 1
        trusted = TrustedClock(
            lambda: self.clock.now + self.wall_ahead_s, lambda: self.clock.now - self.uptime_from, self.machine_boot
        )
        self.api.hear = lambda: trusted.hear(float(int(self.clock.now)), 0.0)
        parts = Parts(
            settings=Settings(self.folder, 60, 10, self.folder / "credentials"),
            host_id=HOST_ID,
            keys=KeyRing.open(self.key_path),
            engine=self.engine,
            api=self.api,
            open_key_api=self.api.signed_by,
            sink=self.sink,
            read_run=lambda: self.run_id,
            boot_id=f"boot-{self.boots}",
            log=Log(self.log, self.clock),
            clock=trusted,
            elapsed=self.clock,
            sleep=self.clock.sleep,
            random=lambda: 0.5,
            connect=self.connect,
        )
        self.daemon = Daemon(parts, self.read_inventory())
        self.daemon.gpus.look(())
        for instance_id in self.daemon.ledger.view().records:
            self.daemon.queue.add(instance_id)
        if ask:
            self.daemon.asker.ask()
        return self

    def read_inventory(self) -> dict[str, Any]:
        return inventory(self.gpus, self.engine.gone)

    def command(self, *orders: Order, not_after: int | None = None, **more: Any) -> dict[str, Any]:
        """As `accept` hands it over."""
        late = int(self.clock()) + 120 if not_after is None else not_after
        body = {"v": 1, "host_id": HOST_ID, "not_after": late, "orders": [order_to_wire(each) for each in orders]}
        body |= more
        verdict, answer = self.daemon.intake.answer(f"accept {to_b64(json.dumps(body).encode())}")
        taken: dict[str, Any] = json.loads(answer) if verdict == "ok" else {"error": answer}
        return taken

    def drain(self) -> None:
        """Work on all that is due now."""
        while (instance_id := self.daemon.queue.take_ready()) is not None:
            self.daemon.applier.settle(instance_id)
            self.daemon.queue.done(instance_id)

    def give(self, *orders: Order) -> dict[str, Any]:
        answer = self.command(*orders)
        self.drain()
        return answer

    def pass_time(self, seconds: int) -> None:
        """Second by second, as the watch sees it."""
        for _ in range(seconds):
            self.clock.now += 1
            self.daemon.enforcement.end_overdue()
            self.daemon.enforcement.hold_shares()
            self.daemon.watch.tick()
            self.drain()

    def record(self, instance_id: int = 11) -> Record:
        record = self.daemon.ledger.record(instance_id)
        assert record is not None
        return record

    def state(self) -> dict[str, Any]:
        return self.daemon.reporter.state()

    def instance(self, instance_id: int = 11) -> dict[str, Any]:
        return next(each for each in self.state()["instances"] if each["instance_id"] == instance_id)

    def gpu(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.state()["gpus"][index]
        return found

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What the bus got, opened."""
        return [(kind, open_jws(detail["jws"])) for kind, detail in self.sink.sent]

    def log_events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def open_jws(jws: str) -> dict[str, Any]:
    assert jwt.get_unverified_header(jws) == {"alg": "EdDSA", "kid": KEY.key_id, "typ": "JWT"}
    public = Ed25519PublicKey.from_public_bytes(KEY.signing_public)
    claims: dict[str, Any] = jwt.decode(jws, public, algorithms=["EdDSA"])
    return claims
