"""Checks of the whole machine: made before anything is said, then aside, and soon again while something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gpulease_host.engine import EngineError
from gpulease_host.readiness import AGAIN_S, LOOK_S, MAX_NOT_READY, MAX_SENTENCE, Readiness, say

TOO_OLD = "Docker 19.03 is too old: install Docker Engine 20.10 or newer."


@dataclass
class Machine:
    """One check, and the time; looks aside are made when the test says so."""

    now: float = 0.0
    wrong: str | None = None
    fault: EngineError | None = None
    mark: int = 0
    looks: int = 0
    aside: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.readiness = Readiness([self.check, lambda: None], lambda: self.mark, lambda: self.now, self.aside.append)

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


def test_the_first_word_is_true() -> None:
    machine = Machine(wrong=TOO_OLD)
    assert machine.readiness.not_ready() == [TOO_OLD]
    assert machine.looks == 1


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


def test_a_first_look_that_cannot_tell_is_an_error_and_made_again() -> None:
    machine = Machine(fault=EngineError("Docker does not answer"))
    with pytest.raises(EngineError):
        machine.readiness.not_ready()
    machine.fault = None
    assert machine.readiness.not_ready() == []


def test_what_is_said_fits_the_wire() -> None:
    told = say({"args": None, "ssh": "x" * 1000}, ["y" * 1000] * 20)
    assert told["modes"]["args"] is None
    assert len(told["modes"]["ssh"]) == MAX_SENTENCE
    assert [len(each) for each in told["not_ready"]] == [MAX_SENTENCE] * MAX_NOT_READY
    assert say({"ssh": TOO_OLD}, [TOO_OLD]) == {"modes": {"ssh": TOO_OLD}, "not_ready": [TOO_OLD]}
