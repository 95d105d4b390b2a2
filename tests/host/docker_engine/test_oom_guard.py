"""The guard comes before tenants' programs, and leaves the processor to others half of the time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from gpulease_host.docker_engine.oom_guard import OomGuard


class Scarce:
    """A group with nothing left, so the guard looks as often as it can."""

    def memory_limit_bytes(self, group: str) -> int:
        return 1

    def held_memory_bytes(self, group: str) -> int:
        return 1


class Slow:
    """Marks that take a while to be set, as of thousands of processes."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.looks = 0
        self.scheduler: int | None = None

    def apply(self, baselines: Mapping[str, int]) -> None:
        if threading.current_thread().name == "oom-guard":
            self.scheduler = os.sched_getscheduler(0)
            self.looks += 1
            time.sleep(self.takes_s)


def looked(takes_s: float) -> Slow:
    marks = Slow(takes_s)
    cgroups: Any = Scarce()
    slow: Any = marks
    guard = OomGuard(cgroups, "tenants", slow)
    guard.also_watch("tenants/a", 1)
    deadline = time.monotonic() + 20
    while marks.looks < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    guard.close()
    return marks


def test_it_looks_before_every_program_that_is_not_of_real_time() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may")
    assert looked(0.0).scheduler == os.SCHED_RR


def test_a_look_that_takes_long_is_followed_by_as_long_a_rest() -> None:
    began = time.monotonic()
    assert looked(0.2).looks >= 3
    assert time.monotonic() - began >= 2 * 0.2 + 2 * 0.2, "three looks, and two rests between them"
