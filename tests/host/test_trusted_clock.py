"""The time by which contracts end: whoever sets the machine's clock ends nothing, and lets nothing run on."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpulease_host.trusted_clock import KEEP_EVERY_S, Anchor, TrustedClock, read_boot_id, read_uptime
from tests.host.orders import NOW

DAY_S = 86400.0


@dataclass
class Machine:
    """Its clock is wrong by `ahead_s`; `now` is the service's."""

    now: float = NOW
    ahead_s: float = 0.0
    booted_at: float = NOW - 1000
    boot_id: str = "boot-1"
    kept: Anchor | None = None
    clock: TrustedClock = field(init=False)

    def __post_init__(self) -> None:
        self.start_daemon()

    def start_daemon(self) -> TrustedClock:
        self.clock = TrustedClock(lambda: self.now + self.ahead_s, lambda: self.now - self.booted_at, self.boot_id)
        self.clock.resume(self.kept)
        return self.clock

    def reboot(self, off_s: float) -> TrustedClock:
        self.now += off_s
        self.booted_at, self.boot_id = self.now, f"after-{self.boot_id}"
        return self.start_daemon()

    def ask(self, took_s: float = 0.1, wrong_by_s: float = 0.0) -> bool:
        self.now += took_s
        wrong = self.clock.hear(float(int(self.now - took_s / 2 + wrong_by_s)), took_s)
        self.keep()
        return wrong

    def keep(self) -> None:
        self.kept = self.clock.to_keep(self.kept) or self.kept

    def is_right(self) -> bool:
        return abs(self.clock() - self.now) <= 2


@pytest.mark.parametrize("jump_s", [3 * DAY_S, 600, -3600, -NOW])
def test_a_jump_of_the_machines_clock_moves_nothing_and_is_told(jump_s: float) -> None:
    machine = Machine()
    machine.ask()
    machine.ahead_s = jump_s
    machine.now += 6
    assert machine.is_right()
    assert machine.clock.needs_service
    assert ("ahead of" if jump_s > 0 else "behind") in str(machine.clock.why_not_right())
    machine.ahead_s = 0
    assert machine.clock.why_not_right() is None


def test_a_clock_that_was_wrong_from_the_start_is_set_by_two_answers_that_agree() -> None:
    machine = Machine(ahead_s=600)
    assert machine.ask()
    assert not machine.is_right()
    assert machine.ask()
    assert machine.is_right()
    assert not machine.ask()
    assert "about 10 minutes ahead" in str(machine.clock.why_not_right())


def test_one_answer_that_is_wrong_moves_nothing() -> None:
    machine = Machine()
    machine.ask()
    assert machine.ask(wrong_by_s=3 * DAY_S)
    assert machine.is_right()
    assert machine.clock.needs_service
    assert not machine.ask()
    assert not machine.clock.needs_service
    assert machine.ask(wrong_by_s=2 * DAY_S)
    assert machine.ask(wrong_by_s=-DAY_S)
    assert machine.is_right()


def test_a_slow_answer_tells_no_time() -> None:
    machine = Machine()
    assert not machine.ask(took_s=11, wrong_by_s=500)
    assert not machine.clock.is_confirmed


def test_a_restarted_daemon_goes_on_from_what_was_kept_whatever_the_clock_shows() -> None:
    machine = Machine()
    machine.ask()
    machine.now += 100
    machine.ahead_s = 3 * DAY_S
    machine.start_daemon()
    assert machine.is_right()
    assert machine.clock.is_confirmed


def test_after_a_reboot_into_the_past_no_time_before_the_kept_one_is_believed() -> None:
    machine = Machine()
    machine.ask()
    machine.ahead_s = -10 * 365 * DAY_S
    clock = machine.reboot(off_s=60)
    assert machine.now - 62 <= clock() <= machine.now
    assert not clock.is_confirmed
    machine.ask()
    machine.ask()
    assert machine.is_right()


def test_after_a_reboot_into_the_future_the_service_sets_it_and_nothing_wrong_stays() -> None:
    machine = Machine()
    machine.ask()
    machine.ahead_s = 3 * DAY_S
    machine.reboot(off_s=60)
    machine.keep()
    assert machine.kept is not None
    assert machine.kept.at < machine.now
    machine.ask()
    machine.ask()
    assert machine.is_right()


def test_it_is_kept_at_once_and_then_seldom() -> None:
    machine = Machine()
    assert machine.clock.to_keep(None) is None
    machine.ask()
    first = machine.kept
    machine.now += KEEP_EVERY_S - 1
    machine.keep()
    assert machine.kept is first
    machine.now += 2
    machine.keep()
    assert machine.kept is not first


Step = st.tuples(
    st.floats(0.5, 7200),
    st.one_of(st.none(), st.floats(-4 * DAY_S, 4 * DAY_S)),
    st.sampled_from(["pass", "ask", "restart"]),
)


@given(st.lists(Step, max_size=30), st.floats(0, 2))
def test_whatever_becomes_of_the_machines_clock_time_goes_on_as_the_services(
    steps: list[tuple[float, float | None, str]], took_s: float
) -> None:
    """Never early by more than a moment, never late by a minute, also cut off and across restarts of the daemon."""
    machine = Machine()
    machine.ask()
    for passed_s, ahead_s, then in steps:
        machine.now += passed_s
        machine.ahead_s = machine.ahead_s if ahead_s is None else ahead_s
        machine.keep()
        if then == "ask":
            machine.ask(took_s)
        if then == "restart":
            machine.start_daemon()
        assert machine.is_right()


def test_the_kernel_tells_how_long_it_is_up_and_in_which_boot() -> None:
    assert 0 < read_uptime() <= read_uptime()
    assert len(read_boot_id()) == 36
