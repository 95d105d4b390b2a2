"""Which instances want attention: different ones at once, the same one never twice at the same time.

An instance that is added while it is worked on is worked on once more afterwards, so no change is overlooked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class InstanceQueue:
    """`clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[int, float] = {}
        self._busy: set[int] = set()
        self._closed = False
        self._changed = threading.Condition()

    def add(self, instance_id: int, delay_s: float = 0.0) -> None:
        """Have it worked on after the delay, or earlier if it is already due earlier."""
        due = self._clock() + delay_s
        with self._changed:
            self._due[instance_id] = min(due, self._due.get(instance_id, due))
            self._changed.notify_all()

    def take_ready(self) -> int | None:
        """The instance that has waited longest, now busy; None when none is due and idle."""
        now = self._clock()
        with self._changed:
            ready = [(due, each) for each, due in self._due.items() if due <= now and each not in self._busy]
            if not ready or self._closed:
                return None
            instance_id = min(ready)[1]
            del self._due[instance_id]
            self._busy.add(instance_id)
            return instance_id

    def done(self, instance_id: int) -> None:
        with self._changed:
            self._busy.discard(instance_id)
            self._changed.notify_all()

    def wait_ready(self) -> int | None:
        """Block until an instance is ready; None once closed."""
        while True:
            with self._changed:
                if self._closed:
                    return None
                instance_id = self.take_ready()
                if instance_id is not None:
                    return instance_id
                self._changed.wait(self._next_due_in_s())

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next_due_in_s(self) -> float | None:
        idle = [due for each, due in self._due.items() if each not in self._busy]
        return max(0.0, min(idle) - self._clock()) if idle else None
