"""Which GPUs could be handed to the next tenant: a GPU is free when its last container is dead and it is seen clean.

held ──(its instance has ended)──► looked at ──clean──► free
                                       └──still not clean after ten seconds──► quarantined ──clean──► free
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from gpulease_host.engine import Engine, EngineError, GpuCheck, OrderedGpu
from gpulease_host.records import HOLDING, Fence, Record

SETTLING_S = 10
"""A driver needs a moment to let go of memory after the last process died."""
LOOK_EVERY_S = 0.5
NOT_LOOKED = "It was not looked at yet."


@dataclass(frozen=True)
class Sight:
    """What was last seen of one GPU that no instance holds."""

    left_by: int | None = None
    left_at: float | None = None
    clean: bool = False
    reason: str | None = NOT_LOOKED

    def is_settling(self, now: float) -> bool:
        return not self.clean and self.left_at is not None and now - self.left_at < SETTLING_S


def holders(records: Mapping[int, Record]) -> dict[str, int]:
    """GPU UUID to the instance that may have its hands on it."""
    return {
        gpu.uuid: instance_id
        for instance_id, record in records.items()
        if record.status in HOLDING
        for gpu in record.order.gpus
    }


def judge(before: Sight, check: GpuCheck) -> Sight:
    """What a look at an unheld GPU tells."""
    if check.clean:
        return Sight(clean=True, reason=None)
    return replace(before, clean=False, reason=check.reason or "It is not clean.")


class Gpus:
    def __init__(
        self, engine: Engine, inventory: Mapping[str, Any], clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._gpus: list[Mapping[str, Any]] = []
        self._sights: dict[str, Sight] = {}
        self._start_locks: dict[str, threading.Lock] = {}
        self.know(inventory["gpus"])

    def know(self, gpus: Sequence[Mapping[str, Any]]) -> None:
        """From now on these count too: a driver that did not answer at first names its GPUs later."""
        with self._lock:
            for gpu in gpus:
                if gpu["uuid"] not in self._sights:
                    self._gpus.append(gpu)
                    self._sights[gpu["uuid"]] = Sight()

    def start_locks(self, uuids: Collection[str]) -> list[threading.Lock]:
        """Held, in this order, while an instance is begun on these GPUs."""
        with self._lock:
            return [self._start_locks.setdefault(uuid, threading.Lock()) for uuid in sorted(uuids)]

    def taken(self, uuids: Set[str], instance_id: int) -> None:
        """From now on nothing seen before counts: a container begins on these."""
        with self._lock:
            for uuid in uuids & self._sights.keys():
                self._sights[uuid] = Sight(left_by=instance_id)

    def left(self, uuids: Collection[str], instance_id: int) -> None:
        """An instance has ended on these: they must be looked at before they are free."""
        now = self._clock()
        with self._lock:
            for uuid in uuids:
                if uuid in self._sights:
                    self._sights[uuid] = Sight(left_by=instance_id, left_at=now)

    def look(self, held: Collection[str]) -> None:
        """Look at every GPU that is not held. A look that fails shows nothing clean."""
        try:
            checks = {check.uuid: check for check in self._engine.gpu_checks()}
        except EngineError as error:
            checks = {}
            missing = f"It cannot be checked: {error}"
        else:
            missing = "It is gone from the machine."
        with self._lock:
            for gpu in self._gpus:
                uuid = gpu["uuid"]
                if uuid not in held:
                    check = checks.get(uuid) or GpuCheck(gpu["index"], uuid, clean=False, reason=missing)
                    self._sights[uuid] = judge(self._sights[uuid], check)

    def why_not_clean(self, uuids: Collection[str]) -> str | None:
        """Why these cannot be handed over; looks again for as long as a driver may need.

        Also where nobody noted that they were left: their own instance may have ended a moment ago.
        """
        deadline = self._clock() + SETTLING_S
        reason = self._first_dirt(uuids)
        while reason is not None:
            self.look(held=self._sights.keys() - set(uuids))
            reason = self._first_dirt(uuids)
            if reason is None or self._clock() >= deadline:
                break
            self._sleep(LOOK_EVERY_S)
        return reason

    def needs_look(self, held: Collection[str]) -> bool:
        """Whether an unheld GPU is not known to be clean."""
        with self._lock:
            return any(not sight.clean for uuid, sight in self._sights.items() if uuid not in held)

    def clean(self, held: Collection[str]) -> list[OrderedGpu]:
        """Those that could be handed over now."""
        with self._lock:
            unheld = [OrderedGpu(gpu["index"], gpu["uuid"]) for gpu in self._gpus if gpu["uuid"] not in held]
            return [gpu for gpu in unheld if self._sights[gpu.uuid].clean]

    def report(self, held: Mapping[str, int], fences: Mapping[str, Fence]) -> list[dict[str, Any]]:
        """Every GPU as the wire says it."""
        now = self._clock()
        with self._lock:
            return [self._say(gpu, held, fences, now) for gpu in self._gpus]

    def _say(
        self, gpu: Mapping[str, Any], held: Mapping[str, int], fences: Mapping[str, Fence], now: float
    ) -> dict[str, Any]:
        uuid = gpu["uuid"]
        sight = self._sights[uuid]
        status, instance_id, reason = "quarantined", None, sight.reason
        if uuid in held:
            status, instance_id, reason = "held", held[uuid], None
        elif sight.clean:
            status = "free"
        elif sight.is_settling(now):
            status, instance_id = "held", sight.left_by
        token = fences[uuid].token if uuid in fences else 0
        return {
            "index": gpu["index"],
            "uuid": uuid,
            "status": status,
            "token": token,
            "instance_id": instance_id,
            "reason": reason,
        }

    def _first_dirt(self, uuids: Collection[str]) -> str | None:
        with self._lock:
            for gpu in self._gpus:
                sight = self._sights[gpu["uuid"]]
                if gpu["uuid"] in uuids and not sight.clean:
                    return f"GPU {gpu['index']} is not clean: {sight.reason}"
        return None
