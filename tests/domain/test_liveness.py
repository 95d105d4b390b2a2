"""Whose report is news, when two machines speak with one key, who is silent and when that is us."""

from dataclasses import replace

import pytest

from rental.domain.ids import HostId
from rental.domain.liveness import (
    BURST_S,
    OFFLINE_AFTER_S,
    Phase,
    Presence,
    Sighting,
    Standing,
    fallen_silent,
    is_burst,
    judge,
    meet,
)
from tests.fakes.ports import NOW

FIRST = Sighting(HostId(7), "boot-1", seq=5, sent_at=100, seen_at=101)
KNOWN = meet(None, FIRST).enter(Phase.SETTLED)


def test_the_first_and_every_later_report_is_news() -> None:
    assert judge(None, FIRST) is Standing.NEWS
    assert judge(KNOWN, replace(FIRST, seq=6)) is Standing.NEWS
    assert judge(KNOWN, replace(FIRST, seq=900, boot_id="boot-2")) is Standing.NEWS


def test_a_repeated_or_older_report_is_known() -> None:
    assert judge(KNOWN, FIRST) is Standing.KNOWN
    assert judge(KNOWN, replace(FIRST, seq=4)) is Standing.KNOWN


def test_a_late_report_of_an_earlier_start_is_known_and_no_fork() -> None:
    assert judge(KNOWN, replace(FIRST, seq=4, boot_id="boot-0")) is Standing.KNOWN


@pytest.mark.parametrize("seq", [5, 6, 7])
def test_a_number_of_this_start_that_comes_from_another_start_is_a_fork(seq: int) -> None:
    later = meet(meet(KNOWN, replace(FIRST, seq=6)), replace(FIRST, seq=7))
    assert judge(later, replace(FIRST, seq=seq, boot_id="boot-2")) is Standing.FORKED
    assert judge(later.enter(Phase.SETTLED), replace(FIRST, seq=seq, boot_id="boot-2")) is Standing.FORKED


def test_a_new_start_counts_as_its_own_from_its_first_report_on() -> None:
    restarted = meet(KNOWN, replace(FIRST, seq=10, boot_id="boot-2"))
    assert restarted.since_seq == 10
    assert judge(restarted, replace(FIRST, seq=9)) is Standing.KNOWN
    assert judge(restarted, replace(FIRST, seq=10)) is Standing.FORKED


def test_a_report_whose_taking_in_did_not_end_is_still_news() -> None:
    assert judge(meet(None, FIRST), FIRST) is Standing.OVERTAKING
    assert judge(meet(None, FIRST), replace(FIRST, seq=4)) is Standing.KNOWN


@pytest.mark.parametrize("phase", [Phase.TAKING, Phase.LEAVING, Phase.OFFLINE])
def test_whoever_comes_while_another_may_be_at_work_overtakes_it(phase: Phase) -> None:
    assert judge(KNOWN.enter(phase), replace(FIRST, seq=6)) is Standing.OVERTAKING


def silent(count: int, seen_at: int, phase: Phase = Phase.SETTLED, first: int = 1) -> list[Presence]:
    return [Presence(HostId(first + each), "b", 1, 1, seen_at, seen_at, phase) for each in range(count)]


LONG_AGO = NOW - OFFLINE_AFTER_S


def test_a_host_is_silent_after_three_hundred_seconds_and_marked_once() -> None:
    assert fallen_silent(silent(1, LONG_AGO + 1), NOW) == []
    assert fallen_silent(silent(1, LONG_AGO), NOW) == silent(1, LONG_AGO)
    assert fallen_silent(silent(1, LONG_AGO, Phase.OFFLINE), NOW) == []
    assert len(fallen_silent(silent(1, LONG_AGO, Phase.LEAVING), NOW)) == 1


@pytest.mark.parametrize(
    ("gone", "hosts", "braked"), [(9, 9, False), (10, 49, True), (10, 50, False), (11, 50, True), (10, 10, True)]
)
def test_the_brake_takes_ten_hosts_and_more_than_a_fifth(gone: int, hosts: int, braked: bool) -> None:
    assert is_burst([*silent(gone, LONG_AGO), *silent(hosts - gone, NOW, first=1000)], NOW) is braked


def test_hosts_that_are_retired_are_no_burst_and_are_not_marked() -> None:
    """Whoever revokes a whole rack must not keep others from being marked."""
    retired = silent(30, LONG_AGO, Phase.RETIRED)
    assert fallen_silent(retired, NOW) == []
    assert not is_burst([*retired, *silent(1, LONG_AGO, first=100), *silent(20, NOW, first=1000)], NOW)


def test_nothing_that_a_retired_host_says_is_news() -> None:
    assert judge(KNOWN.enter(Phase.RETIRED), replace(FIRST, seq=KNOWN.seq + 1)) is Standing.KNOWN


def test_hosts_that_fall_silent_far_apart_are_no_burst() -> None:
    spread = [*silent(6, LONG_AGO), *silent(6, LONG_AGO - BURST_S, first=100)]
    assert not is_burst([*spread, *silent(20, NOW, first=1000)], NOW)
    near = [*silent(6, LONG_AGO), *silent(6, LONG_AGO - BURST_S + 1, first=100)]
    assert is_burst([*near, *silent(20, NOW, first=1000)], NOW)


def test_hosts_marked_a_moment_ago_count_with_those_that_follow() -> None:
    marked = silent(9, LONG_AGO - 60, Phase.OFFLINE)
    assert is_burst([*marked, *silent(1, LONG_AGO, first=100), *silent(20, NOW, first=1000)], NOW)
    assert not is_burst([*marked, *silent(20, NOW, first=1000)], NOW)


def test_the_brake_holds_as_long_as_they_stay_silent() -> None:
    held = [*silent(10, LONG_AGO - 86_400), *silent(1, LONG_AGO, first=100), *silent(20, NOW, first=1000)]
    assert is_burst(held, NOW)
