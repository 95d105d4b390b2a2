"""A daemon on fakes, in modes ssh and jupyter: running means that somebody could get in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpulease_host.engine import ImageMissingError, Order
from tests.host.orders import order
from tests.host.rig import Rig

CLOSED = "ssh does not answer yet."


def ssh_order(generation: int = 1) -> Order:
    return replace(order(generation=generation), mode="ssh")


@pytest.mark.parametrize("mode", ["ssh", "jupyter"])
def test_it_is_loading_with_a_reason_until_somebody_could_get_in(rig: Rig, mode: str) -> None:
    rig.engine.not_reached = CLOSED
    rig.give(replace(order(), mode=mode))
    told = rig.instance()
    assert (told["status"], told["reason"], told["generation"]) == ("loading", CLOSED, 0)
    assert rig.gpu(0)["status"] == "held"
    rig.engine.not_reached = None
    rig.pass_time(1)
    told = rig.instance()
    assert (told["status"], told["reason"], told["generation"]) == ("running", None, 1)


def test_what_runs_the_images_own_way_is_not_tried(rig: Rig) -> None:
    rig.engine.not_reached = CLOSED
    rig.give(order())
    assert rig.instance()["status"] == "running"
    assert "try 11" not in rig.engine.calls


def test_once_reached_it_is_not_tried_again_also_not_by_a_new_daemon(rig: Rig) -> None:
    rig.give(ssh_order())
    tries = rig.engine.calls.count("try 11")
    rig.engine.not_reached = CLOSED
    rig.pass_time(20)
    rig.boot().drain()
    rig.pass_time(20)
    assert rig.instance()["status"] == "running"
    assert rig.engine.calls.count("try 11") == tries


def test_a_new_daemon_goes_on_trying_what_was_not_reached(rig: Rig) -> None:
    rig.engine.not_reached = CLOSED
    rig.give(ssh_order())
    rig.boot().drain()
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", CLOSED)
    rig.engine.not_reached = None
    rig.pass_time(1)
    assert rig.instance()["status"] == "running"
    assert rig.engine.starts() == ["start 11 g1"]


def test_a_container_that_ends_before_anyone_got_in_says_what_was_in_the_way(rig: Rig) -> None:
    rig.engine.not_reached = CLOSED
    rig.give(ssh_order())
    rig.engine.exit(11, 70)
    rig.pass_time(1)
    told = rig.instance()
    assert (told["status"], told["exit_code"]) == ("exited", 70)
    assert told["reason"] == f"It ended with exit code 70 before anyone could get in. {CLOSED}"


def test_a_stop_does_not_wait_until_somebody_could_get_in(rig: Rig) -> None:
    rig.engine.not_reached = CLOSED
    rig.give(ssh_order())
    rig.give(replace(ssh_order(2), desired="stopped", token=None))
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("stopped", None)


def test_after_a_stop_and_start_it_is_tried_anew(rig: Rig) -> None:
    rig.give(ssh_order())
    rig.give(replace(ssh_order(2), desired="stopped", token=None))
    rig.engine.not_reached = CLOSED
    rig.give(replace(ssh_order(3), token=2))
    assert rig.instance()["status"] == "loading"


def test_a_start_waits_for_the_toolkit_and_says_so(rig: Rig) -> None:
    rig.engine.not_startable = "The host builds its toolkit."
    rig.give(ssh_order())
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", "The host builds its toolkit.")
    assert rig.engine.starts() == []
    assert rig.api.fetched == []
    rig.engine.not_startable = None
    rig.pass_time(20)
    assert rig.instance()["status"] == "running"


def test_what_a_start_that_broke_off_has_left_goes_with_the_contract(rig: Rig) -> None:
    rig.engine.start_error = ImageMissingError("no such image")
    rig.give(ssh_order())
    assert rig.instance()["status"] == "failed"
    rig.give(replace(ssh_order(2), desired="absent", token=None))
    assert rig.instance()["status"] == "absent"
    assert rig.engine.calls[-1] == "remove 11"
