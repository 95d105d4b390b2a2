"""Does what clients wait for: runs a command in a container, reads its logs, and seals what came of it to them.

A command over SSM only names a call. What is asked is fetched, signed, and so is what is answered: nothing of a tenant
passes through SSM. Many calls are worked on at a time, but few of one contract; what comes on top is answered as busy
rather than late.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from gpulease_host.api import ApiError
from gpulease_host.engine import CallEngine, EngineError
from gpulease_host.key_ring import KeyRing
from gpulease_host.log import Log
from gpulease_host.machine_key import MachineKeyError, seal_reply
from gpulease_host.reply import encode
from gpulease_host.threads import describe
from gpulease_host.wire import AskedCall, WireError, parse_asked, parse_call

WORKERS = 48
"""They wait for Docker most of the time."""
MOST_OF_A_CONTRACT = 4
MOST_WAITING = 64
LATE_S = 4
"""A client waits seven seconds, beyond what a command itself may take."""
REMEMBERED_S = 600
"""Longer than a call lives, and than any command that names it may still arrive: a command is good for two minutes."""
FAULT = "The host failed at it. Its owner finds the place in the daemon's log."
BUSY_WITH_YOURS = (
    f"{MOST_OF_A_CONTRACT} requests to this contract's instances are under way. Send it again when one of them is done."
)
BUSY = "The host has too many such requests at once. Send it again in a moment."


class CallApi(Protocol):
    def show_call(self, call_id: str) -> Any: ...

    def reply(self, call_id: str, sealed: str) -> Any: ...


class Taken:
    """The calls of the last minutes. A daemon that restarts forgets them, and with them what was under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[str, float] = {}

    def add(self, call_id: str, now: float) -> bool:
        """Whether it is new."""
        with self._lock:
            self._at = {each: at for each, at in self._at.items() if now - at < REMEMBERED_S}
            is_new = call_id not in self._at
            self._at.setdefault(call_id, now)
            return is_new


@dataclass
class Calls:
    api: CallApi
    keys: KeyRing
    engine: CallEngine
    log: Log
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    check_docker: Callable[[], None] = lambda: None
    """Raises EngineError where Docker does not have its data."""
    _taken: Taken = field(default_factory=Taken, init=False)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WORKERS, "calls"), init=False)
    _waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_WAITING), init=False)
    _under_way: Counter[int] = field(default_factory=Counter, init=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, init=False)
    _busy: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "busy"), init=False)

    def take(self, call_ids: Iterable[str]) -> None:
        """Have them answered soon, each once, however often a command names it; returns at once."""
        for call_id in call_ids:
            if not self._taken.add(call_id, self.elapsed()):
                continue
            if self._waiting.acquire(blocking=False):
                self._pool.submit(self._attend, call_id, self.elapsed()).add_done_callback(
                    partial(self._finish, call_id)
                )
            else:
                self._busy.submit(self.answer, call_id, _say_busy)

    def stop(self, *, wait: bool = False) -> None:
        """What has not begun is left; `wait`: until what has begun is done."""
        for pool in (self._pool, self._busy):
            pool.shutdown(wait=wait, cancel_futures=not wait)

    def _attend(self, call_id: str, taken_at: float) -> None:
        """What has waited for so long that its client may have given it up is not begun."""
        is_late = self.elapsed() - taken_at > LATE_S
        try:
            self.answer(call_id, _say_busy if is_late else self.do)
        finally:
            self._waiting.release()

    def _finish(self, call_id: str, done: Future[None]) -> None:
        """Who waits is told of a fault of ours too, but not what it says."""
        fault = None if done.cancelled() else done.exception()
        if fault is not None:
            self.log.say("fault in a call", fault=describe(fault))
            self.answer(call_id, lambda _call: {"error": FAULT})

    def answer(self, call_id: str, do: Callable[[AskedCall], dict[str, Any]]) -> None:
        """Fetch the call, do it, send the sealed reply. Who waits is told what went wrong, if it can be told."""
        try:
            call = parse_call(self.api.show_call(call_id))
            said = do(call)
            self.api.reply(call_id, seal_reply(call.reply_key, call_id, encode(said)))
        except (ApiError, WireError, MachineKeyError) as error:
            self.log.say("call not answered", reason=str(error))
            return
        self.log.say("call answered", instance_id=call.instance_id, kind=call.kind)

    def do(self, call: AskedCall) -> dict[str, Any]:
        """What came of it, as schemas/call.v1.json has it. Raises WireError, MachineKeyError."""
        asked = parse_asked(call.kind, self.keys.unseal(call.key_id, call.sealed, call.contract_id))
        try:
            with self._one_of(call.contract_id):
                self.check_docker()
                if call.kind == "exec":
                    return self.engine.run_command(call.instance_id, asked["command"], asked["timeout_s"])
                return self.engine.read_logs(call.instance_id, asked["tail"], asked["since"], asked["cursor"])
        except EngineError as error:
            self.log.say("call failed", instance_id=call.instance_id, kind=call.kind, reason=str(error))
            return {"error": str(error)}

    @contextmanager
    def _one_of(self, contract_id: int) -> Iterator[None]:
        """Nobody takes all workers from others. Raises EngineError where this contract has its own under way."""
        with self._counting:
            if self._under_way[contract_id] >= MOST_OF_A_CONTRACT:
                raise EngineError(BUSY_WITH_YOURS)
            self._under_way[contract_id] += 1
        try:
            yield
        finally:
            with self._counting:
                self._under_way[contract_id] -= 1
                self._under_way += Counter()  # forgets those at zero


def _say_busy(_call: AskedCall) -> dict[str, Any]:
    return {"error": BUSY}
