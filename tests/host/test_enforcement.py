"""What ends and what holds while Docker is away, stuck, or on other data."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from gpulease_host.daemon import open_daemon
from gpulease_host.engine import Desired, DockerSight, EngineError, EngineUnavailableError
from gpulease_host.records import HOLDING
from tests.host.orders import NOW, order
from tests.host.rig import Rig

HALF_A_MINUTE_S = 31


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.give(order())
    assert rig.engine.is_running(11)
    return rig


def put_apart(rig: Rig) -> None:
    """Docker is restarted on other data; its containers live on without its knowledge."""
    rig.engine.data_root.now = DockerSight("docker-2", "/var/lib/docker", None, is_covered=False)
    rig.engine.containers = lambda of=None: []  # type: ignore[method-assign]
    rig.run_id = "run-2"
    rig.pass_time(2)
    assert "without its data" in str(rig.daemon.docker.fault)


@pytest.mark.parametrize("desired", ["stopped", "absent"])
def test_enforcement_kills_what_docker_does_not_stop(rig: Rig, desired: Desired) -> None:
    rig.engine.is_down = True
    rig.give(order(generation=2, desired=desired))
    rig.pass_time(25)
    assert rig.engine.is_running(11), "Docker may need as long"
    rig.pass_time(10)
    assert not rig.engine.is_running(11)


def test_enforcement_kills_what_a_newer_lease_has_fenced(rig: Rig) -> None:
    rig.engine.is_down = True
    rig.give(order(instance_id=12, token=9))
    rig.pass_time(HALF_A_MINUTE_S + 2)
    assert not rig.engine.is_running(11)


def test_enforcement_kills_for_a_daemon_that_was_restarted_meanwhile(rig: Rig) -> None:
    rig.engine.is_down = True
    rig.clock.now = NOW + 3600
    rig.boot(ask=False)
    rig.pass_time(HALF_A_MINUTE_S)
    assert not rig.engine.is_running(11)


@pytest.mark.parametrize("is_restarted", [True, False])
def test_enforcement_kills_what_a_docker_on_other_data_does_not_know(rig: Rig, is_restarted: bool) -> None:
    put_apart(rig)
    if is_restarted:
        rig.boot()
    rig.clock.now = NOW + 3600
    rig.pass_time(HALF_A_MINUTE_S)
    assert not rig.engine.is_running(11)
    assert rig.record().status in HOLDING, "it is settled once Docker has its data"


def test_what_is_accepted_as_gone_does_not_live_on_without_dockers_knowledge(rig: Rig) -> None:
    put_apart(rig)
    assert rig.daemon.intake.answer("accept-docker")[0] == "ok"
    assert not rig.engine.is_running(11)


def test_enforcement_kills_also_before_docker_has_answered_a_new_daemon_once(rig: Rig) -> None:
    rig.clock.now = NOW + 3600 + HALF_A_MINUTE_S
    rig.engine.is_down = True
    waited: list[bool] = []

    def wait(_seconds: float) -> None:
        deadline = time.monotonic() + 10
        while rig.engine.is_running(11) and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        waited.append(rig.engine.is_running(11))
        rig.engine.is_down = False

    daemon = open_daemon(replace(rig.daemon.parts, sleep=wait))
    assert waited == [False]
    assert 11 in daemon.ledger.view().records


def test_shares_are_held_while_docker_is_on_other_data(rig: Rig) -> None:
    put_apart(rig)
    rig.engine.watched = {}
    rig.pass_time(5)
    assert set(rig.engine.watched) == {11}


def test_shares_are_held_while_docker_is_down(rig: Rig) -> None:
    rig.engine.is_down = True
    rig.engine.watched = {}
    rig.pass_time(1)
    assert set(rig.engine.watched) == {11}


def test_a_share_that_cannot_be_held_is_logged_once(rig: Rig) -> None:
    rig.engine.hold_error = EngineError("iptables-restore is missing")
    rig.pass_time(30)
    told = [each["reason"] for each in rig.log_events() if each["event"] == "shares not held"]
    assert told == ["iptables-restore is missing"]


def test_what_docker_shows_running_is_stopped_although_its_data_is_unproved(rig: Rig) -> None:
    rig.engine.data_root.error = EngineUnavailableError("docker info hangs")
    rig.run_id = "run-2"
    rig.give(order(generation=2, desired="stopped"))
    assert not rig.engine.is_running(11)
    assert rig.engine.calls[-1] == "stop 11", "with its grace"
    assert rig.instance()["status"] == "stopping", "nothing is told as done before there is proof"
    rig.engine.data_root.error = None
    rig.pass_time(20)
    assert rig.instance()["status"] == "stopped"


def test_a_host_whose_docker_is_down_is_not_ready_until_the_first_answer(rig: Rig) -> None:
    rig.engine.is_down = True
    rig.pass_time(25)
    assert rig.daemon.world.faults() == []
    rig.pass_time(10)
    assert "systemctl start docker" in rig.daemon.world.inventory["not_ready"][0]
    assert "systemctl start docker" in rig.daemon.world.faults()[0]
    rig.engine.is_down = False
    rig.pass_time(1)
    assert rig.daemon.world.faults() == []


def test_a_docker_that_hangs_for_minutes_is_down_at_its_first_error(rig: Rig) -> None:
    down = rig.daemon.world.docker_down
    down.failed(rig.clock() - 120, "timed out")
    assert down.fault is not None
