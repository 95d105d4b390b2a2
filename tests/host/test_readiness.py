"""Checks of the whole machine: made aside, waited for at first, and made soon again while something is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gpulease_host.engine import EngineError
from gpulease_host.readiness import AGAIN_S, LOOK_S, MAX_NOT_READY, MAX_SENTENCE, NOT_LOOKED_AT, Readiness, say
from tests.host.docker_engine.bench import wait_until

TOO_OLD = "Docker 19.03 is too old: install Docker Engine 20.10 or newer."


@dataclass
class Machine:
    """One check, and the time; looks aside are made when the test says so."""

    now: float = 0.0
    wrong: str | None = None
    other: str | None = None
    fault: Exception | None = None
    mark: int = 0
    looks: int = 0
    aside: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.readiness = Readiness(
            [self.check, lambda: self.other], self.read_mark, lambda: self.now, self.aside.append
        )

    def read_mark(self) -> int:
        if self.mark < 0:
            raise OSError("no such file")
        return self.mark

    def check(self) -> str | None:
        self.looks += 1
        if self.fault is not None:
            raise self.fault
        return self.wrong

    def say(self) -> list[str]:
        """What is said once all that was begun aside is done."""
        self.readiness.not_ready()
        while self.aside:
            self.aside.pop()()
        return self.readiness.not_ready()


def test_the_first_word_waits_for_the_checks() -> None:
    def slow() -> str:
        time.sleep(0.1)
        return TOO_OLD

    assert Readiness([slow], first_wait_s=30).not_ready() == [TOO_OLD]


def test_a_machine_that_nobody_has_looked_at_is_not_ready_and_hinders_no_start() -> None:
    goes_on = threading.Event()
    readiness = Readiness([lambda: TOO_OLD, lambda: str(goes_on.wait(30))], first_wait_s=0.1)
    assert readiness.not_ready() == [TOO_OLD, NOT_LOOKED_AT], "what is known is said"
    started = time.monotonic()
    assert NOT_LOOKED_AT in readiness.not_ready()
    assert time.monotonic() - started < 0.1, "it is waited for once"
    goes_on.set()
    wait_until(lambda: readiness.not_ready() == [TOO_OLD, "True"], 5)


def test_a_machine_without_checks_is_ready() -> None:
    assert Readiness().not_ready() == []


def test_a_machine_that_is_ready_is_looked_at_each_hour_and_aside() -> None:
    machine = Machine()
    assert machine.say() == []
    machine.wrong, machine.now = TOO_OLD, LOOK_S - 1
    assert machine.say() == []
    machine.now = LOOK_S
    assert machine.readiness.not_ready() == [], "nobody waits for a look"
    assert machine.readiness.not_ready() == []
    assert len(machine.aside) == 1, "one look at a time"
    assert machine.say() == [TOO_OLD]


def test_what_was_mended_is_noticed_within_a_minute() -> None:
    machine = Machine(wrong=TOO_OLD)
    machine.say()
    machine.wrong, machine.now = None, AGAIN_S
    assert machine.say() == []


def test_a_restart_of_docker_is_a_reason_to_look_at_once() -> None:
    machine = Machine()
    machine.say()
    machine.wrong, machine.mark = TOO_OLD, 1
    assert machine.say() == [TOO_OLD]


def test_a_change_that_no_mark_tells_of_can_be_told() -> None:
    machine = Machine()
    machine.say()
    machine.wrong = TOO_OLD
    assert machine.say() == []
    machine.readiness.look_soon()
    assert machine.say() == [TOO_OLD]


def test_what_cannot_be_told_stands_as_it_was_and_is_asked_again() -> None:
    machine = Machine(wrong=TOO_OLD)
    machine.say()
    machine.fault, machine.mark = EngineError("Docker does not answer"), 1
    assert machine.say() == [TOO_OLD]
    looks = machine.looks
    assert machine.say() == [TOO_OLD]
    assert machine.looks == looks, "not each second"
    machine.fault, machine.wrong, machine.now = None, None, AGAIN_S
    assert machine.say() == []


@pytest.mark.parametrize("fault", [EngineError("Docker does not answer"), OSError("gone"), KeyError("Id")])
def test_a_check_that_cannot_tell_hides_nothing_and_is_no_reason(fault: Exception) -> None:
    machine = Machine(fault=fault)
    assert machine.say() == []
    machine.other, machine.now = TOO_OLD, AGAIN_S
    assert machine.say() == [TOO_OLD], "the others are asked, and all of them soon again"
    machine.fault, machine.wrong, machine.now = None, "The firewall is gone.", 2 * AGAIN_S
    assert machine.say() == ["The firewall is gone.", TOO_OLD]
    machine.fault, machine.other, machine.now = fault, None, 3 * AGAIN_S
    assert machine.say() == ["The firewall is gone."], "it stands as it was"


def test_a_mark_that_cannot_be_read_is_none() -> None:
    machine = Machine(wrong=TOO_OLD)
    machine.say()
    machine.mark = -1
    assert machine.say() == [TOO_OLD]


def test_what_is_said_fits_the_wire() -> None:
    told = say({"args": None, "ssh": "x" * 1000}, ["y" * 1000] * 20)
    assert told["modes"]["args"] is None
    assert len(told["modes"]["ssh"]) == MAX_SENTENCE
    assert [len(each) for each in told["not_ready"]] == [MAX_SENTENCE] * MAX_NOT_READY
    assert say({"ssh": TOO_OLD}, [TOO_OLD]) == {"modes": {"ssh": TOO_OLD}, "not_ready": [TOO_OLD]}
