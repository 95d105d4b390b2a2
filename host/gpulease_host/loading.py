"""What instances say while they load: not kept in the journal, and told seldom enough, because each report costs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gpulease_host.engine import Progress

SAY_EVERY_S = 3.0
SAY_SHARE = 0.05
"""Of how long it takes already: who waits for long is told less often."""


@dataclass(frozen=True)
class Said:
    sentence: str
    progress: Progress


@dataclass
class _Entry:
    since: float
    said_at: float
    said: Said


class Loading:
    """`elapsed` is monotonic seconds; `ring` is called when there is something new to report."""

    def __init__(self, elapsed: Callable[[], float], ring: Callable[[], None]) -> None:
        self._elapsed = elapsed
        self._ring = ring
        self._lock = threading.Lock()
        self._entries: dict[int, _Entry] = {}

    def say(self, instance_id: int, sentence: str, progress: Progress) -> None:
        """At once the first time; then what is new is kept back until it is time."""
        said, now = Said(sentence, progress), self._elapsed()
        with self._lock:
            entry = self._entries.get(instance_id)
            if entry is None:
                self._entries[instance_id] = _Entry(now, now, said)
            elif said != entry.said and now - entry.said_at >= max(SAY_EVERY_S, SAY_SHARE * (now - entry.since)):
                entry.said_at, entry.said = now, said
            else:
                return
        self._ring()

    def forget(self, instance_id: int) -> None:
        with self._lock:
            self._entries.pop(instance_id, None)

    def said(self) -> dict[int, Said]:
        with self._lock:
            return {instance_id: entry.said for instance_id, entry in self._entries.items()}
