"""Says what is: at once on a change, else as a heartbeat; what could not be sent is sent again as it is by then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gpulease_host.backoff import Backoff
from gpulease_host.journal import JournalError
from gpulease_host.key_ring import KeyRing
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.wire import WIRE_VERSION

COALESCE_S = 0.05
"""Changes closer together than this go as one event."""
TRANSIENT_S = 0.5
"""Who is loading or stopping for less than this is reported only as what it then is."""

Kind = Literal["InstanceChanged", "Heartbeat"]


class SendError(Exception):
    """The event was not taken."""


class Sink(Protocol):
    def put(self, kind: Kind, detail: dict[str, Any]) -> None:
        """Raises SendError."""
        ...


@dataclass
class Sender:
    """`step` is called whenever the bell rings or the time has come that it named."""

    state: Callable[[], dict[str, Any]]
    sink: Sink
    ledger: Ledger
    keys: KeyRing
    host_id: int
    boot_id: str
    heartbeat_s: float
    clock: Callable[[], float]
    """Epoch seconds, for what is said."""
    elapsed: Callable[[], float]
    """Monotonic seconds, for when to say it."""
    random: Callable[[], float]
    backoff: Backoff
    log: Log
    bell: threading.Event = field(default_factory=threading.Event)
    _changed_at: float | None = field(default=None, init=False)
    _must_say: bool = field(default=False, init=False)
    _sent_at: float = field(default=float("-inf"), init=False)
    _said: Any = field(default=None, init=False)
    _heartbeat_at: float = field(default=float("-inf"), init=False)
    _retry_at: float = field(default=float("-inf"), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def ring(self, must_say: bool = False) -> None:
        """Something may have changed; `must_say`: report it even if nothing did."""
        with self._lock:
            if self._changed_at is None:
                self._changed_at = self.elapsed()
            self._must_say = self._must_say or must_say
        self.bell.set()

    def step(self) -> float:
        """Send what is due. Seconds until there may be something to send again without a ring."""
        self.bell.clear()
        now = self.elapsed()
        if now < self._retry_at:
            return self._retry_at - now
        with self._lock:
            changed_at, must_say = self._changed_at, self._must_say
        if changed_at is not None:
            return self._step_changed(now, changed_at, must_say)
        if now >= self._heartbeat_at:
            self._send("Heartbeat", self.state(), now)
        return self._until_next(now)

    def _step_changed(self, now: float, changed_at: float, must_say: bool) -> float:
        if now < self._sent_at + COALESCE_S:
            return self._sent_at + COALESCE_S - now
        state = self.state()
        if not must_say and now < changed_at + TRANSIENT_S and self._is_transient(state):
            return changed_at + TRANSIENT_S - now
        with self._lock:
            self._changed_at, self._must_say = None, False
        if must_say or _essence(state) != self._said:
            self._send("InstanceChanged", state, now)
        return self._until_next(now)

    def _is_transient(self, state: dict[str, Any]) -> bool:
        """Whether all that is new is that instances are loading or stopping."""
        if self._said is None:
            return False
        news = [each for each in _essence(state)["instances"] if each not in self._said["instances"]]
        return bool(news) and all(each["status"] in ("loading", "stopping") for each in news)

    def _send(self, kind: Kind, state: dict[str, Any], now: float) -> None:
        try:
            self.sink.put(kind, self._sign(state))
        except (SendError, JournalError) as error:
            self._send_again_later(kind, now, str(error))
            return
        self.backoff.succeeded("send")
        self._said = _essence(state)
        self._sent_at = now
        self._heartbeat_at = now + self.heartbeat_s * (0.9 + 0.2 * self.random())

    def _sign(self, state: dict[str, Any]) -> dict[str, Any]:
        claims = {
            "v": WIRE_VERSION,
            "host_id": self.host_id,
            "boot_id": self.boot_id,
            "seq": self.ledger.next_seq(),
            "sent_at": int(self.clock()),
            "state": state,
        }
        return {"v": WIRE_VERSION, "host_id": self.host_id, "jws": self.keys.sign(claims)}

    def _send_again_later(self, kind: Kind, now: float, reason: str) -> None:
        delay_s = self.backoff.failed("send")
        self._retry_at = now + delay_s
        if kind == "InstanceChanged":
            self.ring(must_say=True)
        self.log.say("event not sent", kind=kind, reason=reason, delay_s=round(delay_s, 3))

    def _until_next(self, now: float) -> float:
        due = self._retry_at if self._retry_at > now else self._heartbeat_at
        return max(0.0, due - now)


def _essence(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what changes all the time; a change of the rest is worth an event."""
    instances = [{**each, "disk_used_bytes": None} for each in state["instances"]]
    inventory = {**state["inventory"], "disk_bytes": None, "memory_bytes": None}
    return {**state, "instances": instances, "inventory": inventory, "disk_free_bytes": None}
