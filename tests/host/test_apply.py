"""A daemon on fakes: from an order to a container and back, as one would see it from outside."""

from __future__ import annotations

import pytest

from gpulease_host.api import ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import EngineError, EngineUnavailableError, ImageMissingError, LimitsError, PortTakenError
from tests.host.orders import NOW, order
from tests.host.rig import Rig


def test_a_running_order_starts_the_container_and_is_reported_applied(rig: Rig) -> None:
    assert rig.give(order()) == {"v": 1, "accepted": [11], "refused": []}
    assert rig.engine.is_running(11)
    told = rig.instance()
    assert (told["status"], told["generation"], told["token"]) == ("running", 1, 1)
    assert told["started_at"] == NOW
    assert rig.gpu(0)["status"] == "held"
    assert rig.gpu(0)["instance_id"] == 11
    assert rig.gpu(0)["token"] == 1
    assert rig.gpu(1)["status"] == "free"


def test_a_generation_is_not_reported_before_it_is_reached(rig: Rig) -> None:
    rig.command(order())
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("loading", 0)
    rig.drain()
    rig.command(order(generation=2, desired="stopped"))
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopping", 1)


def test_stop_keeps_the_container_and_frees_the_gpu(rig: Rig) -> None:
    rig.give(order())
    rig.give(order(generation=2, desired="stopped"))
    assert 11 in rig.engine.held
    assert not rig.engine.is_running(11)
    assert (rig.instance()["status"], rig.instance()["generation"], rig.instance()["token"]) == ("stopped", 2, None)
    assert rig.gpu(0)["status"] == "free"
    assert rig.state()["disk_free_bytes"] == rig.state()["inventory"]["disk_bytes"] - order().limits.disk_bytes


def test_start_after_stop_runs_under_the_new_lease(rig: Rig) -> None:
    rig.give(order())
    rig.give(order(generation=2, desired="stopped"))
    rig.give(order(generation=3, token=5))
    assert rig.engine.is_running(11)
    assert rig.engine.starts() == ["start 11 g1", "start 11 g3"]
    assert (rig.record().token, rig.gpu(0)["token"]) == (5, 5)


def test_an_extension_touches_no_container(rig: Rig) -> None:
    rig.give(order())
    rig.give(order(generation=2, end_at=NOW + 7200))
    assert rig.engine.calls == ["start 11 g1"]
    assert (rig.instance()["generation"], rig.instance()["end_at"]) == (2, NOW + 7200)


def test_absent_removes_and_leaves_a_tombstone_for_72_hours(rig: Rig) -> None:
    rig.give(order())
    rig.give(order(generation=2, desired="absent"))
    assert rig.engine.held == {}
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("absent", 2)
    assert rig.state()["disk_free_bytes"] == rig.state()["inventory"]["disk_bytes"]
    rig.clock.now += 72 * 3600 - 40
    rig.daemon.ledger.forget_old()
    assert rig.instance()["status"] == "absent"
    rig.clock.now += 41
    rig.daemon.ledger.forget_old()
    assert rig.state()["instances"] == []


def test_a_removal_that_breaks_off_once_its_container_is_gone_is_done_again_and_only_then_reported(rig: Rig) -> None:
    rig.give(order())
    rig.engine.remove_error = EngineUnavailableError("Docker was killed while it removed the network.")
    rig.give(order(generation=2, desired="absent"))
    assert rig.engine.held == {}
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopping", 1)
    rig.engine.remove_error = None
    rig.boot()
    rig.drain()
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("absent", 2)
    assert rig.engine.calls.count("remove 11") > 1


def test_absent_of_an_unknown_instance_is_a_tombstone_at_once(rig: Rig) -> None:
    rig.give(order(instance_id=99, generation=4, desired="absent"))
    assert (rig.instance(99)["status"], rig.instance(99)["generation"]) == ("absent", 4)


def test_the_same_generation_again_is_answered_with_what_is(rig: Rig) -> None:
    rig.give(order())
    rig.daemon.sender.step()
    rig.clock.now += 1
    before = len(rig.sink.sent)
    assert rig.give(order())["accepted"] == [11]
    rig.daemon.sender.step()
    assert rig.engine.starts() == ["start 11 g1"]
    assert rig.events()[before][0] == "InstanceChanged"


@pytest.mark.parametrize(
    ("exit_code", "oom_killed", "reason"), [(0, False, "done"), (3, False, "error"), (137, True, "oom")]
)
def test_an_exit_is_reported_with_its_reason_and_not_restarted(
    rig: Rig, exit_code: int, oom_killed: bool, reason: str
) -> None:
    rig.give(order())
    rig.engine.exit(11, exit_code, oom_killed)
    rig.daemon.queue.add(11)
    rig.drain()
    told = rig.instance()
    assert (told["status"], told["reason"], told["exit_code"], told["generation"]) == ("exited", reason, exit_code, 1)
    assert rig.gpu(0)["status"] == "free"
    rig.give(order(generation=2, end_at=NOW + 9000))
    assert rig.instance()["status"] == "exited"
    assert rig.engine.starts() == ["start 11 g1"]


def test_an_exited_instance_wanted_stopped_keeps_its_reason(rig: Rig) -> None:
    rig.give(order())
    rig.engine.exit(11, 3)
    rig.daemon.queue.add(11)
    rig.drain()
    rig.give(order(generation=2, desired="stopped"))
    told = rig.instance()
    assert (told["status"], told["reason"], told["exit_code"], told["generation"]) == ("exited", "error", 3, 2)


@pytest.mark.parametrize(
    "error",
    [
        ImageMissingError("The image is not here."),
        LimitsError("Read back 0."),
        PortTakenError("Port 40001/tcp is.", ()),
    ],
)
def test_a_start_that_fails_is_reported_failed_once(rig: Rig, error: EngineError) -> None:
    rig.engine.start_error = error
    rig.give(order())
    told = rig.instance()
    assert (told["status"], told["reason"], told["generation"]) == ("failed", str(error), 1)
    assert rig.gpu(0)["status"] == "free"
    rig.pass_time(30)
    assert rig.engine.starts() == ["start 11 g1"]


def test_a_409_starts_nothing_until_it_is_ordered_again(rig: Rig) -> None:
    rig.api.fetch_error = ApiRefusedError(409, "not_current", "This is not wanted running.")
    rig.give(order())
    rig.pass_time(60)
    assert rig.engine.starts() == []
    assert len(rig.api.fetched) == 1
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopped", 0)
    assert "not wanted running" in rig.instance()["reason"]
    rig.api.fetch_error = None
    rig.give(order())
    assert rig.engine.is_running(11)


def test_an_unreachable_api_is_asked_again_until_it_answers(rig: Rig) -> None:
    rig.api.fetch_error = ApiUnreachableError("no answer")
    rig.give(order())
    assert rig.instance()["status"] == "loading"
    assert "no answer" in rig.instance()["reason"]
    rig.pass_time(20)
    assert 3 <= len(rig.api.fetched) <= 10
    rig.api.fetch_error = None
    rig.pass_time(20)
    assert rig.engine.is_running(11)
    assert rig.instance()["reason"] is None


def test_an_unreachable_api_past_not_after_lapses_and_the_order_given_again_starts(rig: Rig) -> None:
    rig.api.fetch_error = ApiUnreachableError("no answer")
    rig.give(order())
    rig.pass_time(140)
    asked = len(rig.api.fetched)
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopped", 0)
    rig.api.fetch_error = None
    rig.pass_time(60)
    assert len(rig.api.fetched) == asked
    rig.give(order())
    assert rig.engine.is_running(11)


def test_a_stop_overtakes_a_start_that_waits_for_the_api(rig: Rig) -> None:
    rig.api.fetch_error = ApiUnreachableError("no answer")
    rig.give(order())
    rig.give(order(generation=2, desired="stopped"))
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("stopped", 2)
    rig.api.fetch_error = None
    rig.pass_time(30)
    assert rig.engine.starts() == []


def test_docker_down_is_tried_again(rig: Rig) -> None:
    rig.engine.is_down = True
    rig.give(order())
    rig.pass_time(5)
    rig.engine.is_down = False
    rig.pass_time(15)
    assert rig.engine.is_running(11)


def test_disk_overrun_ends_the_instance_with_a_sentence(rig: Rig) -> None:
    from gpulease_host.engine import Overrun

    rig.give(order())
    rig.engine.overruns = [Overrun(11, 12, 10)]
    rig.pass_time(1)
    rig.engine.overruns = []
    rig.pass_time(30)
    assert rig.engine.calls == ["start 11 g1", "stop 11"]
    assert rig.instance()["status"] == "exited"
    assert "12 bytes of disk" in rig.instance()["reason"]


def test_only_running_instances_are_watched(rig: Rig) -> None:
    rig.give(order(), order(instance_id=12, token=2, gpus=(1,)))
    rig.give(order(generation=2, desired="stopped"))
    rig.pass_time(1)
    assert list(rig.engine.watched) == [12]


def test_a_reason_as_long_as_a_tenant_likes_does_not_make_the_host_mute(rig: Rig) -> None:
    rig.engine.start_error = LimitsError("x" * 5000)
    rig.give(order())
    assert rig.instance()["reason"] == "x" * 500
