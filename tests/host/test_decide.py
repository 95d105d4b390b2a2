"""The decisions themselves: pure, each with a sentence, and never one that must never be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpulease_host.admit import Again, Refused, Taken, admit, fenced_by
from gpulease_host.decide import Facts, Nothing, Remove, Settle, Start, Stop, decide, decide_stray
from gpulease_host.engine import Container, Desired
from gpulease_host.records import Fence, Record, Status
from tests.host.orders import NOW, order, uuid_of

RUNNING = Container(11, 11, 1, 1, "running", None, False, NOW - 60, "second start", None, ("GPU-00000000",))
EXITED = replace(RUNNING, status="exited", exit_code=0)
GPUS = {uuid_of(index) for index in range(4)}


def facts(**changes: Any) -> Facts:
    return replace(Facts(None, NOW, "run-1", confirmed=True, fenced_by=None), **changes)


def begun(**changes: Any) -> Record:
    """An instance that runs under its first lease."""
    record = Record(order(), "running", applied=1, token=1, begun_over="first start", begun=True, run_id="run-1")
    return replace(record, **changes)


def test_a_start_whose_success_was_not_noted_counts_when_the_container_shows_it() -> None:
    record = Record(order(), "loading", token=1, begun_over="first start")
    assert isinstance(decide(record, facts(container=None)), Start)
    in_the_same_second = replace(EXITED, run="first start")
    assert isinstance(decide(record, facts(container=in_the_same_second)), Start)
    assert isinstance(decide(replace(record, begun_over=None), facts(container=replace(EXITED, run=None))), Start)
    action = decide(record, facts(container=EXITED))
    assert isinstance(action, Settle)
    assert (action.after.status, action.after.reason) == ("exited", "done")


def test_a_container_somebody_removed_is_an_exit_and_not_made_anew() -> None:
    for run_id in ("run-1", "run-2"):
        action = decide(begun(), facts(container=None, run_id=run_id))
        assert isinstance(action, Settle)
        assert action.after.status == "exited"
        assert "gone from Docker" in (action.after.reason or "")


def test_what_somebody_ended_through_docker_is_not_done() -> None:
    action = decide(begun(), facts(container=replace(EXITED, is_killed=True)))
    assert isinstance(action, Settle)
    assert (action.after.status, action.after.exit_code) == ("exited", 0)
    assert "from outside" in str(action.after.reason)


def test_what_is_known_of_a_running_container_stays_when_it_cannot_be_read() -> None:
    told = replace(RUNNING, image_digest="sha256:1", onstart_exit_code=3)
    action = decide(begun(), facts(container=told))
    assert isinstance(action, Settle)
    assert (action.after.image_digest, action.after.onstart_exit_code) == ("sha256:1", 3)
    assert isinstance(decide(action.after, facts(container=RUNNING)), Nothing)


def test_an_exited_container_that_somebody_started_is_stopped_and_stays_exited() -> None:
    record = begun(status="exited", reason="done", exit_code=0)
    assert isinstance(decide(record, facts(container=RUNNING)), Stop)
    assert isinstance(decide(record, facts(container=EXITED)), Nothing)


def test_a_newer_lease_of_a_running_instance_stops_it_and_then_starts_it_anew() -> None:
    rebooted = order(generation=2, token=2)
    record = begun(order=rebooted)
    assert isinstance(decide(record, facts(container=RUNNING)), Stop)
    for stopped in (replace(record, status="stopping"), replace(record.ended(), status="stopping")):
        assert isinstance(decide(stopped, facts(container=EXITED)), Start)


def test_a_newer_generation_under_the_same_lease_lets_it_run_on() -> None:
    action = decide(begun(order=order(generation=2)), facts(container=RUNNING))
    assert isinstance(action, Settle)
    assert (action.after.status, action.after.applied) == ("running", 2)


STATUSES: list[Status] = ["loading", "running", "stopping", "stopped", "exited", "absent", "failed"]
WORDS = st.none() | st.just("a reason")
TOKENS = st.none() | st.integers(1, 3)


@st.composite
def records(draw: st.DrawFn) -> Record:
    desired = cast(Desired, draw(st.sampled_from(["running", "stopped", "absent"])))
    wanted = order(generation=3, desired=desired, token=draw(st.integers(1, 3)), end_at=NOW + draw(st.integers(-2, 2)))
    return Record(
        order=wanted,
        status=draw(st.sampled_from(STATUSES)),
        not_after=draw(st.none() | st.integers(NOW - 2, NOW + 2)),
        applied=draw(st.integers(0, 3)),
        reason=draw(WORDS),
        token=draw(TOKENS),
        begun_over=draw(st.sampled_from([None, "first start", "second start"])),
        begun=draw(st.booleans()),
        run_id=draw(st.none() | st.sampled_from(["run-1", "run-2"])),
        held=draw(WORDS),
        fault=draw(WORDS),
        tombstone_at=draw(st.none() | st.just(NOW - 5)),
    )


CONTAINERS = st.none() | st.builds(
    Container,
    st.just(11), st.just(11), st.integers(1, 3), st.integers(1, 3),
    st.sampled_from(["created", "running", "exited"]), st.none() | st.integers(0, 255), st.booleans(),
    st.none() | st.integers(NOW - 3, NOW), st.none(), st.just((0,)),
)  # fmt: skip
FACTS = st.builds(
    Facts, CONTAINERS, st.just(float(NOW)), st.just("run-1"), st.booleans(), st.none() | st.integers(2, 9)
)


@settings(deadline=None)
@given(records(), FACTS)
def test_no_decision_is_one_that_must_never_be(record: Record, known: Facts) -> None:
    action = decide(record, known)
    assert action.reason.endswith((".", ")")) or action.reason in ("a reason", record.fault, record.held)
    running = known.container is not None and known.container.status == "running"
    match action:
        case Remove():
            assert record.order.desired == "absent"
        case Start():
            assert record.order.desired == "running"
            assert known.now < record.order.end_at
            assert known.fenced_by is None
            assert known.confirmed
            assert record.held is None
            assert record.not_after is None or known.now <= record.not_after
            assert not running
        case Stop():
            assert running
        case Settle():
            assert action.after.order == record.order
            assert action.after.applied in (record.applied, record.order.generation)
        case Nothing():
            over = record.order.desired != "running" or known.now >= record.order.end_at
            assert not (running and (over or known.fenced_by is not None))


@settings(deadline=None)
@given(records(), FACTS)
def test_what_is_settled_is_at_rest(record: Record, known: Facts) -> None:
    action = decide(record, known)
    for _ in range(3):
        if not isinstance(action, Settle):
            return
        action = decide(action.after, known)
    assert not isinstance(action, Settle)


@pytest.mark.parametrize(("age_s", "status", "stops"), [(599, "running", False), (600, "running", True)])
def test_an_unclaimed_container_is_stopped_after_ten_minutes(age_s: int, status: str, stops: bool) -> None:
    assert isinstance(decide_stray(RUNNING, NOW - age_s, NOW), Stop) is stops
    assert isinstance(decide_stray(EXITED, NOW - age_s, NOW), Nothing)


def test_admission_takes_newer_repeats_same_and_refuses_older() -> None:
    record = begun(order=order(generation=4))
    assert isinstance(admit(order(generation=5), record, {}, NOW, NOW), Taken)
    assert isinstance(admit(order(generation=4), record, {}, NOW, NOW), Again)
    assert isinstance(admit(order(generation=3), record, {}, NOW, NOW), Refused)


def test_admission_refuses_what_came_late_unless_the_manifest_says_it() -> None:
    assert isinstance(admit(order(), None, {}, NOW, NOW - 1), Refused)
    assert isinstance(admit(order(), None, {}, NOW, None), Taken)


def test_an_instance_does_not_change_its_contract() -> None:
    assert isinstance(admit(order(generation=9, contract_id=5), begun(), {}, NOW, NOW), Refused)


def test_fences_only_rise() -> None:
    fences = {uuid_of(0): Fence(5, 10), uuid_of(1): Fence(3, 10)}
    taken = admit(order(token=6, gpus=(0, 1)), None, fences, NOW, NOW)
    assert isinstance(taken, Taken)
    assert taken.fences == {uuid_of(0): Fence(6, 11), uuid_of(1): Fence(6, 11)}
    assert isinstance(admit(order(token=4, gpus=(0, 1)), None, fences, NOW, NOW), Refused)
    assert fenced_by(order(token=4, gpus=(0, 1)), fences) == 5
    assert fenced_by(order(token=5, gpus=(0, 1)), fences) is None


def test_a_stop_needs_no_token() -> None:
    fences = {uuid_of(0): Fence(5, 10)}
    assert isinstance(admit(order(generation=2, desired="stopped"), begun(), fences, NOW, NOW), Taken)
