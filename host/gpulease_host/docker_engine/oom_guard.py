"""Keeps the OOM marks of `oom_marks` true between the daemon's rounds.

A program can take gigabytes within the second between two rounds, and would die by size, or let another die. So a
thread looks again before the memory that is left could be gone: often when little is left, seldom when there is much.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.oom_marks import OomMarks

# Faster than programs were seen to fill memory on one core (about 2 GB/s), by a margin.
FILL_BYTES_PER_S = 8e9
SHORTEST_S = 0.005
LONGEST_S = 0.25


class OomGuard:
    """`tenants` is the group whose limit all containers share."""

    def __init__(self, cgroups: Cgroups, tenants: str, marks: OomMarks) -> None:
        self._cgroups = cgroups
        self._tenants = tenants
        self._marks = marks
        self._lock = threading.Lock()
        self._baselines: dict[str, int] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch_only(self, baselines: Mapping[str, int]) -> None:
        """The whole truth, once a second: looked at at once, and guarded from then on."""
        with self._lock:
            self._baselines = dict(baselines)
            self._marks.apply(self._baselines)
            self._run()

    def also_watch(self, group: str, baseline_bytes: int) -> None:
        """A container that has just started."""
        with self._lock:
            self._baselines[group] = baseline_bytes
            self._run()

    @contextmanager
    def restless(self, group: str) -> Iterator[None]:
        """While Docker begins and runs a command in it, each look is at all of its processes, and one more after it."""
        with self._lock:
            self._marks.restless[group] += 1
        try:
            yield
        finally:
            with self._lock:
                self._marks.restless[group] -= 1
                self._marks.restless += Counter()  # forgets those at zero

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        if self._thread is None and self._baselines:
            self._thread = threading.Thread(target=self._loop, name="oom-guard", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        _come_first()
        spent_s = 0.0
        while not self._closed.wait(max(spent_s, self._pause_s())):
            began = time.monotonic()
            with self._lock:
                self._marks.apply(self._baselines)
            spent_s = time.monotonic() - began

    def _pause_s(self) -> float:
        if not self._baselines:
            return LONGEST_S
        try:
            limit = self._cgroups.memory_limit_bytes(self._tenants)
            left_bytes = (limit or 0) - self._cgroups.held_memory_bytes(self._tenants)
        except OSError:
            return LONGEST_S
        return max(SHORTEST_S, min(LONGEST_S, left_bytes / FILL_BYTES_PER_S))


def _come_first() -> None:
    """This thread before every tenant's program, which weigh ten times the daemon where processors are few. It takes no
    more than half of one: a look is followed by as long a rest."""
    with suppress(OSError):  # a kernel or a unit may not let it: then it comes when it can
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
