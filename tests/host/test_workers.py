"""Different instances at once, the same one never twice at the same time."""

from __future__ import annotations

import io
import threading

from gpulease_host.backoff import Backoff
from gpulease_host.instance_queue import InstanceQueue
from gpulease_host.log import Log
from gpulease_host.workers import SPARE, Workers
from tests.host.fakes import FakeClock

PATIENCE_S = 10
GPUS = 2
AT_ONCE = GPUS + SPARE


def test_one_that_is_worked_on_is_not_taken_again_but_afterwards() -> None:
    queue = InstanceQueue(FakeClock())
    queue.add(11)
    assert queue.take_ready() == 11
    queue.add(11)
    assert queue.take_ready() is None
    queue.done(11)
    assert queue.take_ready() == 11


def test_a_delayed_one_comes_in_time_or_earlier_when_added_again() -> None:
    clock = FakeClock()
    queue = InstanceQueue(clock)
    queue.add(11, 5)
    assert queue.take_ready() is None
    clock.now += 5
    assert queue.take_ready() == 11
    queue.done(11)
    queue.add(11, 5)
    queue.add(11)
    assert queue.take_ready() == 11
    queue.done(11)
    assert queue.take_ready() is None


def test_who_waited_longest_comes_first() -> None:
    clock = FakeClock()
    queue = InstanceQueue(clock)
    queue.add(3)
    clock.now += 1
    queue.add(1)
    assert [queue.take_ready(), queue.take_ready()] == [3, 1]


class Crowd:
    """Workers meet at a barrier in their first round; two in one instance are a clash."""

    def __init__(self) -> None:
        self.meeting = threading.Barrier(AT_ONCE)
        self.met = threading.Event()
        self.finished = threading.Event()
        self.clashes: list[int] = []
        self._busy: set[int] = set()
        self._rounds = 0
        self._lock = threading.Lock()

    def settle(self, instance_id: int) -> None:
        with self._lock:
            if instance_id in self._busy:
                self.clashes.append(instance_id)
            self._busy.add(instance_id)
        if not self.met.is_set():
            self.meeting.wait(PATIENCE_S)
            self.met.set()
        with self._lock:
            self._busy.discard(instance_id)
            self._rounds += 1
            if self._rounds == 2 * AT_ONCE:
                self.finished.set()


def test_different_instances_are_worked_on_at_once_and_one_serially() -> None:
    queue, crowd = InstanceQueue(FakeClock()), Crowd()
    workers = Workers(queue, crowd.settle, Log(io.StringIO(), FakeClock()), GPUS)
    for instance_id in range(AT_ONCE):
        queue.add(instance_id)
    workers.start()
    assert crowd.met.wait(PATIENCE_S)
    for instance_id in range(AT_ONCE):
        queue.add(instance_id)
    assert crowd.finished.wait(PATIENCE_S)
    workers.stop()
    assert crowd.clashes == []


def test_a_stop_is_not_kept_waiting_by_slow_starts_on_every_gpu() -> None:
    queue, pulled, stopped = InstanceQueue(FakeClock()), threading.Event(), threading.Event()

    def settle(instance_id: int) -> None:
        if instance_id < 8:
            pulled.wait(PATIENCE_S)
        else:
            stopped.set()

    workers = Workers(queue, settle, Log(io.StringIO(), FakeClock()), gpus=8)
    for instance_id in range(9):
        queue.add(instance_id)
    workers.start()
    assert stopped.wait(PATIENCE_S / 2)
    pulled.set()
    workers.stop()


def test_a_fault_in_one_is_logged_without_its_text_and_the_others_go_on() -> None:
    out = io.StringIO()
    clock = FakeClock()
    queue = InstanceQueue(clock)
    done = threading.Event()

    def settle(instance_id: int) -> None:
        if instance_id == 11:
            raise ValueError("hush")
        done.set()

    workers = Workers(queue, settle, Log(out, clock), GPUS)
    queue.add(11)
    queue.add(12)
    workers.start()
    assert done.wait(PATIENCE_S)
    workers.stop()
    assert "ValueError at" in out.getvalue()
    assert "hush" not in out.getvalue()


def test_backoff_doubles_up_to_its_most_and_starts_over() -> None:
    backoff = Backoff(1, 8, lambda: 0.0)
    assert [backoff.failed("x") for _ in range(5)] == [0.5, 1, 2, 4, 4]
    backoff.succeeded("x")
    assert backoff.failed("x") == 0.5
    assert Backoff(1, 8, lambda: 0.999).failed("y") < 1
