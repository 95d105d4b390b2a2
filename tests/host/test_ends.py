"""The end is the end: whether cut off, restarted, rebooted or extended too late."""

from __future__ import annotations

import pytest

from gpulease_host.api import ApiUnreachableError
from gpulease_host.decide import ASKING_FIRST, PAST_END
from gpulease_host.engine import Secrets
from tests.host.orders import NOW, order
from tests.host.rig import Rig


@pytest.fixture
def cut_off(rig: Rig) -> Rig:
    """Something runs, and then nobody answers any more."""
    rig.give(order(end_at=NOW + 100))
    rig.api.fetch_error = rig.api.manifest_error = ApiUnreachableError("no answer")
    rig.sink.is_down = True
    return rig


def test_a_host_cut_off_stops_at_the_end_it_last_heard(cut_off: Rig) -> None:
    cut_off.pass_time(99)
    assert cut_off.engine.is_running(11)
    cut_off.pass_time(1)
    assert not cut_off.engine.is_running(11)
    assert 11 in cut_off.engine.held
    assert (cut_off.instance()["status"], cut_off.instance()["reason"]) == ("stopped", PAST_END)
    assert cut_off.gpu(0)["status"] == "free"


def test_a_daemon_that_comes_back_after_the_end_stops_at_once(cut_off: Rig) -> None:
    cut_off.clock.now += 500
    cut_off.boot()
    cut_off.drain()
    assert not cut_off.engine.is_running(11)


def test_what_docker_does_not_stop_within_half_a_minute_of_its_end_is_killed_without_it(cut_off: Rig) -> None:
    cut_off.engine.is_down = True
    cut_off.pass_time(100 + 29)
    assert cut_off.engine.is_running(11)
    cut_off.pass_time(2)
    assert not cut_off.engine.is_running(11)
    cut_off.engine.is_down = False
    cut_off.pass_time(15)
    assert (cut_off.instance()["status"], cut_off.instance()["reason"]) == ("stopped", PAST_END)
    assert 11 in cut_off.engine.held


def test_nothing_starts_at_its_end(rig: Rig) -> None:
    rig.give(order(end_at=NOW))
    assert rig.engine.starts() == []
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopped", 0)


def test_a_start_whose_permission_comes_after_the_end_does_not_happen(rig: Rig) -> None:
    fetch = rig.api.fetch

    def slow_fetch(wanted: object) -> object:
        rig.clock.now += 60
        return fetch(order())

    rig.api.fetch = slow_fetch  # type: ignore[method-assign, assignment]
    rig.give(order(end_at=NOW + 30))
    assert rig.engine.starts() == []


def test_an_extension_that_arrives_after_the_local_end_starts_it_again(cut_off: Rig) -> None:
    cut_off.pass_time(120)
    cut_off.api.fetch_error = None
    cut_off.give(order(generation=2, end_at=NOW + 5000))
    assert cut_off.engine.is_running(11)
    assert cut_off.instance()["generation"] == 2


def test_an_extension_in_the_grace_leaves_it_stopped(cut_off: Rig) -> None:
    cut_off.pass_time(120)
    cut_off.give(order(generation=2, desired="stopped", end_at=NOW + 5000))
    assert cut_off.engine.calls == ["start 11 g1", "stop 11"]
    assert cut_off.instance()["generation"] == 2


def test_an_order_past_its_not_after_is_refused(rig: Rig) -> None:
    assert "too late" in rig.command(order(), not_after=NOW - 1)["error"]
    rig.drain()
    assert rig.state()["instances"] == []


@pytest.mark.parametrize("exit_code", [0, 137, 255])
def test_after_a_reboot_it_starts_again_once_it_has_asked(rig: Rig, exit_code: int) -> None:
    rig.give(order())
    rig.engine.exit(11, exit_code)
    rig.run_id = "run-2"
    rig.api.orders = [order()]
    rig.boot(ask=False)
    rig.drain()
    assert rig.instance()["reason"] == ASKING_FIRST
    assert rig.engine.starts() == ["start 11 g1"]
    rig.daemon.asker.ask()
    rig.drain()
    assert rig.engine.is_running(11)


def test_after_a_reboot_what_cannot_start_yet_does_not_read_running(rig: Rig) -> None:
    rig.give(order())
    assert rig.instance()["status"] == "running"
    rig.engine.exit(11, 255)
    rig.engine.not_startable = "The toolkit is tried."
    rig.run_id = "run-2"
    rig.api.orders = [order()]
    rig.boot()
    rig.drain()
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", "The toolkit is tried.")
    rig.engine.not_startable = None
    rig.pass_time(60)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("running", None)


def test_after_a_reboot_nothing_starts_that_the_manifest_does_not_name(rig: Rig) -> None:
    rig.give(order())
    rig.engine.exit(11, 255)
    rig.run_id = "run-2"
    rig.boot()
    rig.drain()
    assert rig.engine.starts() == ["start 11 g1"]
    assert rig.engine.held.keys() == {11}
    assert rig.daemon.asker.is_due() is False
    rig.clock.now += 61
    assert rig.daemon.asker.is_due() is True


def test_after_a_reboot_past_the_end_nothing_starts(rig: Rig) -> None:
    rig.give(order(end_at=NOW + 100))
    rig.engine.exit(11, 255)
    rig.run_id = "run-2"
    rig.api.orders = [order(end_at=NOW + 100)]
    rig.clock.now += 100
    rig.boot()
    rig.drain()
    assert rig.engine.starts() == ["start 11 g1"]


def test_after_a_docker_restart_under_the_daemon_it_asks_and_starts_again(rig: Rig) -> None:
    rig.give(order())
    rig.api.orders = [order()]
    rig.engine.exit(11, 137)
    rig.run_id = "run-1/docker-2"
    assert rig.daemon.asker.is_due()
    rig.pass_time(1)
    assert rig.instance()["status"] == "loading"
    rig.daemon.asker.ask()
    rig.drain()
    assert rig.engine.is_running(11)


def test_what_kept_running_through_a_daemon_restart_is_not_touched(rig: Rig) -> None:
    rig.give(order())
    rig.boot(ask=False)
    rig.drain()
    assert rig.engine.calls == ["start 11 g1"]
    assert rig.instance()["status"] == "running"


def test_what_ended_by_itself_while_no_daemon_ran_is_an_exit(rig: Rig) -> None:
    rig.give(order())
    rig.engine.exit(11, 0)
    rig.boot()
    rig.drain()
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("exited", "done")


def test_an_exit_before_a_reboot_stays_an_exit(rig: Rig) -> None:
    rig.give(order())
    rig.engine.exit(11, 0)
    rig.daemon.queue.add(11)
    rig.drain()
    rig.run_id = "run-2"
    rig.api.orders = [order()]
    rig.boot()
    rig.drain()
    assert rig.instance()["status"] == "exited"
    assert rig.engine.starts() == ["start 11 g1"]


def test_an_unclaimed_container_is_stopped_after_ten_minutes_and_kept_and_reported(rig: Rig) -> None:
    rig.engine.start(order(instance_id=50, token=3), Secrets())
    rig.pass_time(300)
    rig.boot()
    rig.pass_time(299)
    assert rig.engine.is_running(50)
    assert (rig.instance(50)["status"], rig.instance(50)["generation"]) == ("running", 0)
    assert rig.gpu(0)["instance_id"] == 50
    rig.pass_time(30)
    assert not rig.engine.is_running(50)
    rig.pass_time(3600)
    assert 50 in rig.engine.held
    assert rig.instance(50)["status"] == "stopped"
    assert "kept" in rig.instance(50)["reason"]


def test_an_unclaimed_container_is_removed_only_when_it_is_said_to_be_gone(rig: Rig) -> None:
    rig.engine.start(order(instance_id=50, token=3), Secrets())
    rig.pass_time(15)
    rig.give(order(instance_id=50, generation=9, desired="absent"))
    assert rig.engine.held == {}
    assert [each["status"] for each in rig.state()["instances"]] == ["absent"]
    rig.pass_time(15)
    assert [each["status"] for each in rig.state()["instances"]] == ["absent"]


def test_nothing_starts_that_was_stopped_or_whose_end_came_while_its_image_was_pulled(rig: Rig) -> None:
    rig.engine.while_pulling = lambda _: rig.command(order(generation=2, desired="stopped"))
    rig.give(order())
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopped", 2)
    rig.engine.while_pulling = lambda _: rig.clock.sleep(3600)
    rig.give(order(instance_id=12, gpus=(1,)))
    assert rig.instance(12)["status"] == "stopped"
    assert rig.engine.starts() == []


def test_an_extension_while_its_image_is_pulled_does_not_keep_it_from_starting(rig: Rig) -> None:
    rig.engine.while_pulling = lambda _: rig.command(order(generation=2, end_at=NOW + 7200))
    rig.give(order())
    assert rig.engine.starts() == ["start 11 g1"]
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("running", 2)
