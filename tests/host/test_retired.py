"""A daemon that is told that its host was given up ends everything, starts nothing, and removes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.api import ApiRefusedError
from gpulease_host.asking import ASK_ANYWAY_S
from gpulease_host.engine import EngineError, EngineUnavailableError
from gpulease_host.journal import JournalError
from tests.host.orders import order
from tests.host.rig import Rig

RETIRED = ApiRefusedError(409, "host_retired", "The host was declared lost by its owner.")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path).boot()
    made.api.orders = [order()]
    made.give(order())
    assert made.engine.is_running(11)
    return made


def be_told(rig: Rig) -> None:
    rig.api.manifest_error = rig.api.fetch_error = RETIRED
    rig.daemon.asker.ask()
    rig.drain()


def test_it_stops_what_runs_and_keeps_it(rig: Rig) -> None:
    be_told(rig)
    assert not rig.engine.is_running(11)
    assert 11 in rig.engine.held


def test_it_says_so(rig: Rig) -> None:
    assert json.loads(rig.daemon.intake.answer("status")[1])["retired"] is None
    be_told(rig)
    assert "declared lost" in json.loads(rig.daemon.intake.answer("status")[1])["retired"]
    assert any(each["event"] == "host retired" for each in rig.log_events())


def test_nothing_starts_any_more(rig: Rig) -> None:
    be_told(rig)
    rig.give(order(instance_id=12, gpus=(1,), token=9))
    rig.boot()
    rig.pass_time(60)
    assert not rig.engine.is_running(11)
    assert not rig.engine.is_running(12)


def test_it_learns_it_although_reports_are_not_answered(rig: Rig) -> None:
    assert not rig.daemon.asker.is_due()
    rig.clock.now += ASK_ANYWAY_S
    assert rig.daemon.asker.is_due()
    be_told(rig)
    assert not rig.daemon.asker.is_due()
    rig.clock.now += ASK_ANYWAY_S
    assert rig.daemon.asker.is_due(), "what was started by hand meanwhile ends too"


def test_it_removes_nothing_whatever_it_is_sent(rig: Rig) -> None:
    be_told(rig)
    assert "given up" in rig.command(order(generation=2, desired="absent"))["error"]
    rig.pass_time(30)
    assert 11 in rig.engine.held


@pytest.mark.parametrize("error", [EngineUnavailableError("down"), None])
def test_it_ends_what_runs_although_docker_is_not_believed(rig: Rig, error: EngineError | None) -> None:
    rig.run_id = "run-2"
    rig.engine.data_root.error = error
    rig.engine.data_root.now = replace(rig.engine.data_root.now, mark=None, is_covered=True)
    be_told(rig)
    assert not rig.engine.is_running(11)


def test_one_that_cannot_be_stopped_keeps_none_from_being_stopped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.give(order(instance_id=12, gpus=(1,), token=2))
    stop, told = rig.engine.stop, list[int]()

    def refuse_one(instance_id: int, grace_s: int = 10) -> None:
        told.append(instance_id)
        if instance_id == 11:
            raise EngineError("its processes cannot be ended")
        stop(instance_id, grace_s)

    monkeypatch.setattr(rig.engine, "stop", refuse_one)
    be_told(rig)
    assert told == [11, 12]
    assert "not everything ended" in rig.log.getvalue(), "it is tried again"


def test_it_ends_what_runs_although_docker_is_down(rig: Rig) -> None:
    rig.engine.is_down = True
    be_told(rig)
    assert not rig.engine.is_running(11)


def test_a_full_disk_keeps_the_daemon_alive(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise JournalError("no space left")

    monkeypatch.setattr(rig.daemon.asker, "retire", refuse)
    be_told(rig)
    assert "no space left" in rig.log.getvalue()
