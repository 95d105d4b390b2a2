"""A whole daemon on a machine whose clock is wrong: contracts end when they end."""

from __future__ import annotations

from gpulease_host.api import ApiUnreachableError
from gpulease_host.decide import ASKING_FIRST, PAST_END
from tests.host.orders import NOW, order
from tests.host.rig import Rig

END = NOW + 7200


def test_three_days_ahead_for_six_seconds_ends_nothing(rig: Rig) -> None:
    rig.give(order(end_at=END))
    rig.wall_ahead_s = 3 * 86400
    rig.pass_time(6)
    rig.wall_ahead_s = 0
    rig.pass_time(6)
    assert rig.engine.calls == ["start 11 g1"]
    told = [each["reason"] for each in rig.log_events() if each["event"] == "clock"]
    assert "3 days ahead" in told[0]
    assert told[1:] == ["This machine's clock is right again."]


def test_ten_minutes_ahead_commands_are_taken_and_reports_are_of_now(rig: Rig) -> None:
    rig.wall_ahead_s = 600
    assert rig.give(order(end_at=END))["accepted"] == [11]
    assert rig.instance()["status"] == "running"
    rig.daemon.sender.ring(must_say=True)
    rig.daemon.sender.step()
    event = rig.events()[-1][1]
    assert event["sent_at"] == int(rig.clock.now)
    assert "clock is about 10 minutes ahead" in rig.state()["inventory"]["not_ready"][0], "nobody rents here meanwhile"


def test_an_hour_behind_and_cut_off_it_ends_in_time(rig: Rig) -> None:
    rig.give(order(end_at=NOW + 100))
    rig.api.fetch_error = rig.api.manifest_error = ApiUnreachableError("no answer")
    rig.wall_ahead_s = -3600
    rig.pass_time(99)
    assert rig.engine.is_running(11)
    rig.pass_time(2)
    assert not rig.engine.is_running(11)
    assert rig.instance()["reason"] == PAST_END


def test_a_daemon_restarted_under_a_wrong_clock_goes_by_the_right_one(rig: Rig) -> None:
    rig.give(order(end_at=END))
    rig.pass_time(2)
    rig.api.manifest_error = ApiUnreachableError("no answer")
    rig.wall_ahead_s = 3 * 86400
    rig.boot()
    rig.pass_time(40)
    assert rig.engine.calls == ["start 11 g1"]


def test_after_a_reboot_into_the_future_nothing_is_over_until_the_service_was_asked(
    rig: Rig,
) -> None:
    rig.give(order(end_at=END))
    rig.pass_time(2)
    rig.api.orders = [order(end_at=END)]
    reboot(rig, wall_ahead_s=3 * 86400)
    rig.pass_time(20)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", ASKING_FIRST)
    rig.api.fetch_error = rig.api.manifest_error = None
    rig.daemon.asker.ask()
    rig.daemon.asker.ask()
    rig.pass_time(20)
    assert rig.instance()["status"] == "running"


def test_after_a_reboot_with_a_clock_in_the_past_nothing_that_is_over_starts(rig: Rig) -> None:
    rig.give(order(end_at=NOW + 100))
    rig.pass_time(2)
    rig.api.orders = [order(end_at=NOW + 100)]
    rig.clock.now = NOW + 200
    reboot(rig, wall_ahead_s=-10 * 86400)
    rig.pass_time(20)
    assert rig.engine.starts() == ["start 11 g1"]
    rig.api.fetch_error = rig.api.manifest_error = None
    rig.daemon.asker.ask()
    rig.daemon.asker.ask()
    rig.pass_time(20)
    assert rig.engine.starts() == ["start 11 g1"]
    assert rig.instance()["reason"] == PAST_END


def test_a_jump_has_the_service_asked_soon_and_not_again_and_again(rig: Rig) -> None:
    rig.pass_time(10)
    assert not rig.daemon.asker.is_due()
    rig.wall_ahead_s = 600
    assert rig.daemon.asker.is_due()
    rig.daemon.asker.ask()
    rig.pass_time(30)
    assert not rig.daemon.asker.is_due()


def test_the_status_says_that_the_clock_is_wrong(rig: Rig) -> None:
    assert '"faults": []' in rig.daemon.intake.answer("status")[1]
    rig.wall_ahead_s = 600
    assert "10 minutes ahead" in rig.daemon.intake.answer("status")[1]


def reboot(rig: Rig, wall_ahead_s: float) -> None:
    """Cut off from the service."""
    rig.api.fetch_error = rig.api.manifest_error = ApiUnreachableError("no answer")
    rig.engine.exit(11, 137)
    rig.run_id, rig.machine_boot, rig.uptime_from = "run-2", "machine-2", rig.clock.now
    rig.wall_ahead_s = wall_ahead_s
    rig.boot()
