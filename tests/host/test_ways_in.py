"""A daemon on fakes, in modes ssh and jupyter: running means that somebody could get in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpulease_host.api import ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import ImageMissingError, Order, Overrun, Secrets
from tests.host.launch.test_ssh_keys import ED25519, RSA
from tests.host.orders import NOW, order
from tests.host.rig import Rig
from tests.host.test_wire import check

DAY_S = 86_400
CLOSED = "ssh does not answer yet."


def ssh_order(generation: int = 1, **changes: Any) -> Order:
    return replace(order(generation=generation), mode="ssh", **changes)


@pytest.fixture
def begun(rig: Rig) -> Rig:
    """A daemon whose instance runs, and lets in the holder of one key."""
    rig.api.ssh_keys = [ED25519]
    rig.give(ssh_order())
    assert rig.engine.secrets[11].ssh_keys == (ED25519,)
    return rig


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


def test_it_is_held_to_its_share_while_nobody_can_get_in_yet(rig: Rig) -> None:
    rig.engine.not_reached = CLOSED
    rig.give(ssh_order())
    rig.pass_time(1)
    assert rig.engine.watched == {11: ssh_order().limits}
    rig.engine.overruns = [Overrun(11, 12, 10)]
    rig.pass_time(1)
    rig.engine.overruns = []
    rig.pass_time(30)
    assert (rig.instance()["status"], rig.engine.is_running(11)) == ("exited", False)
    assert "12 bytes of disk" in rig.instance()["reason"]
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


def test_a_notebook_waits_for_its_certificate_and_says_so(rig: Rig) -> None:
    rig.api.certificate_error = ApiUnreachableError("the API answered 503")
    rig.give(replace(order(), mode="jupyter"))
    told = rig.instance()
    assert (told["status"], told["reason"]) == ("loading", "Waits for its certificate: the API answered 503")
    assert rig.engine.starts() == []
    rig.api.certificate_error = None
    rig.pass_time(20)
    assert rig.instance()["status"] == "running"


def test_what_is_no_longer_wanted_does_not_wait_for_a_certificate(rig: Rig) -> None:
    rig.api.certificate_error = ApiRefusedError(409, "not_current", "This is no longer wanted running.")
    rig.give(replace(order(), mode="jupyter"))
    rig.give(replace(order(generation=2), mode="jupyter", desired="stopped", token=None))
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("stopped", None)


def test_the_certificate_of_what_runs_is_renewed_and_of_what_does_not_it_is_not(rig: Rig) -> None:
    for instance_id, gpu in ((11, 0), (12, 1)):
        long = order(instance_id, gpus=(gpu,), end_at=NOW + 60 * DAY_S)
        rig.give(replace(long, mode="jupyter"))
    rig.give(replace(order(12, 2, "stopped", gpus=(1,), end_at=NOW + 60 * DAY_S), mode="jupyter"))
    assert [each.instance_id for each in rig.api.certified] == [11, 12]
    rig.clock.now += 21 * DAY_S
    rig.daemon.renew_certificates()
    assert [each.instance_id for each in rig.api.certified] == [11, 12, 11]


def test_what_a_start_that_broke_off_has_left_goes_with_the_contract(rig: Rig) -> None:
    rig.engine.start_error = ImageMissingError("no such image")
    rig.give(ssh_order())
    assert rig.instance()["status"] == "failed"
    rig.give(replace(ssh_order(2), desired="absent", token=None))
    assert rig.instance()["status"] == "absent"
    assert rig.engine.calls[-1] == "remove 11"


def test_keys_that_changed_are_set_while_it_runs_on(begun: Rig) -> None:
    begun.api.ssh_keys = [ED25519, RSA]
    begun.give(ssh_order(2, keys_revision=1))
    assert begun.engine.ssh_keys[11] == (ED25519, RSA)
    assert begun.engine.starts() == ["start 11 g1"]
    assert (begun.instance()["status"], begun.instance()["generation"]) == ("running", 2)
    assert begun.api.fetched[-1].generation == 2


def test_the_last_key_can_be_taken_away(begun: Rig) -> None:
    begun.api.ssh_keys = []
    begun.give(ssh_order(2, keys_revision=1))
    assert begun.engine.ssh_keys[11] == ()


def test_keys_are_set_once_however_often_they_are_ordered_also_by_a_new_daemon(begun: Rig) -> None:
    begun.give(ssh_order(2, keys_revision=1))
    fetched = len(begun.api.fetched)
    begun.give(ssh_order(2, keys_revision=1))
    begun.boot().drain()
    begun.pass_time(20)
    assert begun.engine.calls.count("keys 11") == 1
    assert len(begun.api.fetched) == fetched


@pytest.mark.parametrize(
    "error",
    [ApiUnreachableError("no answer"), ApiRefusedError(409, "not_current", "Not now.")],
)
def test_a_lost_fetch_of_keys_is_tried_again_and_until_then_the_old_ones_hold(begun: Rig, error: Any) -> None:
    begun.api.fetch_error = error
    begun.give(ssh_order(2, keys_revision=1))
    assert (begun.instance()["status"], begun.instance()["generation"]) == ("running", 1)
    begun.pass_time(30)
    assert begun.engine.starts() == ["start 11 g1"]
    assert 11 not in begun.engine.ssh_keys
    begun.api.fetch_error = None
    begun.api.ssh_keys = [RSA]
    begun.pass_time(30)
    assert begun.engine.ssh_keys[11] == (RSA,)
    assert (begun.instance()["status"], begun.instance()["generation"]) == ("running", 2)


def test_keys_that_cannot_be_read_change_nothing(begun: Rig) -> None:
    begun.api.ssh_keys = ['command="sh" ' + ED25519]
    begun.give(ssh_order(2, keys_revision=1))
    begun.pass_time(30)
    assert 11 not in begun.engine.ssh_keys
    assert begun.instance()["status"] == "running"


def test_a_daemon_that_died_before_it_noted_the_keys_sets_them_again(begun: Rig) -> None:
    begun.give(ssh_order(2, keys_revision=1))
    begun.daemon.ledger.amend(11, keys_revision=0)
    begun.boot().drain()
    assert begun.engine.calls.count("keys 11") == 2
    assert begun.engine.starts() == ["start 11 g1"]


def test_a_new_lease_restarts_also_when_keys_changed(begun: Rig) -> None:
    begun.api.ssh_keys = [RSA]
    begun.give(ssh_order(2, token=2, keys_revision=1))
    assert begun.engine.starts() == ["start 11 g1", "start 11 g2"]
    assert begun.engine.secrets[11].ssh_keys == (RSA,)
    assert "keys 11" not in begun.engine.calls


def test_keys_that_changed_while_it_was_stopped_come_with_its_next_start(begun: Rig) -> None:
    begun.give(ssh_order(2, desired="stopped", token=None))
    begun.api.ssh_keys = [RSA]
    begun.give(ssh_order(3, token=2, keys_revision=1))
    assert begun.engine.secrets[11].ssh_keys == (RSA,)
    assert "keys 11" not in begun.engine.calls


def test_keys_that_change_while_it_starts_are_set_once_it_runs(rig: Rig) -> None:
    rig.api.ssh_keys = [ED25519]
    asked: list[int] = []

    def change_keys(_watch: object) -> None:
        if not asked:
            asked.append(1)
            rig.api.ssh_keys = [RSA]
            rig.command(ssh_order(2, keys_revision=1))

    rig.engine.while_pulling = change_keys
    rig.give(ssh_order())
    rig.pass_time(2)
    assert rig.engine.secrets[11].ssh_keys == (ED25519,)
    assert rig.engine.ssh_keys[11] == (RSA,)
    assert rig.engine.starts() == ["start 11 g1"]
    assert rig.instance()["generation"] == 2


def test_keys_change_also_while_nobody_got_in_yet(begun: Rig) -> None:
    begun.engine.not_reached = CLOSED
    begun.give(ssh_order(2, token=2))
    begun.api.ssh_keys = [RSA]
    begun.give(ssh_order(3, token=2, keys_revision=1))
    assert begun.engine.ssh_keys[11] == (RSA,)
    assert (begun.instance()["status"], begun.instance()["reason"]) == ("loading", CLOSED)


def test_what_runs_the_images_own_way_has_no_keys_to_change(rig: Rig) -> None:
    rig.give(order())
    rig.give(replace(order(generation=2), keys_revision=1))
    assert len(rig.api.fetched) == 1
    assert "keys 11" not in rig.engine.calls
    assert rig.instance()["generation"] == 2


def test_the_host_key_is_reported_while_there_is_one_and_only_where_the_host_lets_people_in(rig: Rig) -> None:
    rig.engine.host_keys = {11: ED25519, 12: RSA}
    rig.give(ssh_order(), order(instance_id=12, token=2, gpus=(1,)))
    rig.engine.start(order(instance_id=50, token=3, gpus=(2,)), Secrets())
    rig.pass_time(2)
    assert [rig.instance(each)["ssh_host_key"] for each in (11, 12, 50)] == [ED25519, None, None]
    rig.daemon.sender.step()
    check("event", rig.events()[-1][1])
    rig.engine.host_keys.clear()
    assert rig.instance()["ssh_host_key"] is None
