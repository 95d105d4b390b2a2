"""A daemon on fakes: from an order to a container and back, as one would see it from outside."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from gpulease_host.api import ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import (
    Container,
    EngineError,
    EngineUnavailableError,
    ImageMissingError,
    LimitsError,
    PortTakenError,
)
from gpulease_host.journal import JournalError
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
    assert rig.instance()["status"] == "stopped"
    rig.engine.remove_error = None
    rig.boot()
    rig.drain()
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("absent", 2)
    assert rig.engine.calls.count("remove 11") > 1


def test_gpus_return_once_it_has_stopped_although_its_removal_fails(rig: Rig) -> None:
    rig.give(order())
    rig.engine.remove_error = EngineError("Docker cannot delete its subvolume.")
    rig.give(order(generation=2, desired="absent"))
    instance = rig.instance()
    assert (instance["status"], instance["generation"]) == ("stopped", 2)
    assert "cannot delete its subvolume" in instance["reason"]
    assert rig.gpu(0)["status"] == "free"
    rig.give(order(instance_id=12, token=2))
    assert rig.engine.is_running(12)
    rig.boot()
    rig.pass_time(30)
    assert rig.engine.calls.count("remove 11") > 2, "it is tried again"
    rig.engine.remove_error = None
    rig.pass_time(20)
    assert rig.instance()["status"] == "absent"


def test_what_was_told_as_gone_stays_so_although_it_shows_up_again(rig: Rig) -> None:
    rig.give(order())
    again = rig.engine.held[11]
    rig.give(order(generation=2, desired="absent"))
    rig.engine.held[11], rig.engine.remove_error = again, EngineError("Docker cannot delete its subvolume.")
    rig.pass_time(15)
    assert not rig.engine.is_running(11)
    assert rig.instance()["status"] == "absent"


def test_gpus_stay_while_nobody_can_end_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.give(order())

    def refuse(_instance_id: int, _grace_s: int = 10) -> None:
        raise EngineError("the processes of instance 11 cannot be ended")

    monkeypatch.setattr(rig.engine, "stop", refuse)
    rig.give(order(generation=2, desired="absent"))
    assert rig.instance()["status"] == "stopping"
    assert rig.gpu(0)["status"] == "held"


def test_one_on_which_docker_hangs_runs_on_and_is_ended_by_the_kernels_word(rig: Rig) -> None:
    rig.give(order())
    hang = "Docker hangs on container gpulease-11, and answers for others."
    rig.engine.held[11] = replace(rig.engine.held[11], hangs=hang, run=None, started_at=None)
    rig.pass_time(15)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("running", hang)
    rig.give(order(generation=2, end_at=NOW + 7200))
    assert rig.instance()["generation"] == 2
    assert rig.instance()["started_at"] is not None
    rig.give(order(generation=3, desired="stopped"))
    assert rig.instance()["status"] == "stopped"
    rig.give(order(generation=4, token=2))
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", hang)
    rig.engine.held[11] = replace(rig.engine.held[11], hangs=None)
    rig.pass_time(15)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("running", None)


def test_one_that_is_looked_at_for_long_delays_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.give(order())
    look, entered, released = rig.engine.containers, threading.Event(), threading.Event()

    def look_long(of: int | None = None) -> list[Container]:
        if of == 11:
            entered.set()
            assert released.wait(60)
        return look(of)

    monkeypatch.setattr(rig.engine, "containers", look_long)
    thread = threading.Thread(target=rig.daemon.applier.settle, args=(11,))
    thread.start()
    assert entered.wait(60)
    rig.give(order(instance_id=12, gpus=(1,), token=2))
    assert rig.engine.is_running(12)
    rig.give(order(instance_id=12, gpus=(1,), generation=2, desired="absent"))
    assert 12 not in rig.engine.held
    released.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_removal_goes_on_although_the_journal_cannot_be_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.give(order())
    rig.command(order(generation=2, desired="absent"))

    def refuse(*_: object) -> None:
        raise JournalError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(rig.daemon.ledger._journal, "append", refuse)
        rig.drain()
        assert rig.engine.held == {}, "which may free some"
    rig.pass_time(20)
    assert rig.instance()["status"] == "absent"


def test_one_that_ended_while_docker_hung_on_it_says_so(rig: Rig) -> None:
    rig.give(order())
    rig.engine.held[11] = replace(rig.engine.held[11], hangs="Docker hangs.", status="exited", run=None)
    rig.pass_time(15)
    assert rig.instance()["status"] == "exited"
    assert "Docker hangs." in rig.instance()["reason"]
    assert rig.gpu(0)["status"] == "free"


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
