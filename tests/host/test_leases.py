"""GPUs are exclusive: tokens only rise, and a GPU is free only when it is seen clean."""

from __future__ import annotations

import pytest

from gpulease_host.engine import Secrets
from gpulease_host.gpus import SETTLING_S
from tests.host.orders import NOW, order, uuid_of
from tests.host.rig import Rig


def test_a_lower_token_is_refused(rig: Rig) -> None:
    rig.give(order(token=5))
    answer = rig.give(order(instance_id=12, token=4))
    assert answer["accepted"] == []
    assert answer["refused"][0]["instance_id"] == 12
    assert "token 5" in answer["refused"][0]["reason"]
    assert not rig.engine.is_running(12)


def test_the_same_token_for_another_instance_is_refused(rig: Rig) -> None:
    rig.give(order(token=5))
    assert rig.give(order(instance_id=12, token=5))["accepted"] == []


def test_a_lower_token_stays_refused_after_the_instance_is_gone_and_after_a_restart(rig: Rig) -> None:
    rig.give(order(token=5))
    rig.give(order(generation=2, desired="absent"))
    rig.boot()
    assert rig.give(order(instance_id=12, token=4))["accepted"] == []
    assert rig.give(order(instance_id=12, token=6))["accepted"] == [12]


def test_a_higher_token_first_ends_what_is_there(rig: Rig) -> None:
    rig.give(order(token=5, gpus=(0, 1)))
    rig.give(order(instance_id=12, token=6, gpus=(1,)))
    assert rig.engine.calls == ["start 11 g1", "stop 11", "start 12 g1"]
    assert rig.engine.violations == []
    assert rig.instance(11)["status"] == "stopped"
    assert "newer lease" in rig.instance(11)["reason"]
    assert (rig.gpu(0)["status"], rig.gpu(1)["instance_id"]) == ("free", 12)


def test_a_higher_token_ends_an_unclaimed_container_on_its_gpu(rig: Rig) -> None:
    rig.engine.start(order(instance_id=50, token=1), Secrets())
    rig.give(order(instance_id=12, token=6))
    assert rig.engine.violations == []
    assert not rig.engine.is_running(50)
    assert 50 in rig.engine.held
    assert rig.engine.is_running(12)


def test_a_fenced_instance_that_has_not_begun_never_begins(rig: Rig) -> None:
    rig.command(order(token=5))
    rig.command(order(instance_id=12, token=6))
    rig.drain()
    assert rig.engine.starts() == ["start 12 g1"]
    assert (rig.instance(11)["status"], rig.instance(11)["generation"]) == ("stopped", 0)


def test_a_newer_lease_of_the_same_instance_restarts_it(rig: Rig) -> None:
    rig.give(order(token=5))
    rig.give(order(generation=3, token=9))
    assert rig.engine.calls == ["start 11 g1", "stop 11", "start 11 g3"]


def test_a_reboot_sent_twice_restarts_once_and_is_then_reported_running(rig: Rig) -> None:
    rig.give(order(token=5))
    rig.give(order(generation=2, token=6))
    rig.give(order(generation=2, token=6))
    assert rig.engine.calls == ["start 11 g1", "stop 11", "start 11 g2"]
    assert (rig.instance()["status"], rig.instance()["generation"], rig.instance()["token"]) == ("running", 2, 6)
    assert rig.engine.violations == []


def test_a_reboot_that_comes_after_a_newer_one_does_nothing(rig: Rig) -> None:
    rig.give(order(token=5))
    rig.give(order(generation=3, token=7))
    rig.give(order(generation=2, token=6))
    assert rig.engine.calls == ["start 11 g1", "stop 11", "start 11 g3"]


def test_an_order_for_a_gpu_that_is_not_here_is_reported_failed(rig: Rig) -> None:
    """It would be waited for in vain if the order were only refused."""
    assert rig.give(order(gpus=(7,)))["accepted"] == [11]
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("failed", 1)
    assert "gone from this machine" in rig.instance()["reason"]
    assert not rig.engine.starts()


def test_a_gpu_that_is_not_clean_is_held_while_it_settles_then_quarantined_then_free(rig: Rig) -> None:
    rig.give(order())
    rig.engine.dirty[0] = "A process is left on it."
    rig.give(order(generation=2, desired="stopped"))
    assert (rig.gpu(0)["status"], rig.gpu(0)["instance_id"]) == ("held", 11)
    rig.pass_time(SETTLING_S)
    assert (rig.gpu(0)["status"], rig.gpu(0)["instance_id"]) == ("quarantined", None)
    assert rig.gpu(0)["reason"] == "A process is left on it."
    del rig.engine.dirty[0]
    rig.pass_time(1)
    assert rig.gpu(0)["status"] == "free"


def test_nothing_starts_on_a_quarantined_gpu(rig: Rig) -> None:
    rig.engine.dirty[0] = "Memory is in use."
    rig.pass_time(30)
    assert rig.gpu(0)["status"] == "quarantined"
    rig.give(order())
    assert rig.engine.starts() == []
    assert rig.instance()["status"] == "failed"
    assert "Memory is in use" in rig.instance()["reason"]


def test_a_gpu_that_settles_in_time_is_started_on(rig: Rig) -> None:
    rig.give(order())
    rig.engine.dirty[0] = "Memory is in use."
    rig.give(order(generation=2, desired="stopped"))
    sleep = rig.clock.sleep

    def clean_meanwhile(seconds: float) -> None:
        sleep(seconds)
        rig.engine.dirty.clear()

    rig.daemon.gpus._sleep = clean_meanwhile
    rig.give(order(generation=3, token=2))
    assert rig.engine.is_running(11)


@pytest.mark.parametrize("again", ["rebooted", "after a restart of Docker"])
def test_who_is_started_again_at_once_waits_for_its_gpu_to_settle(rig: Rig, again: str) -> None:
    """A driver needs a moment to let go of memory after the last process died."""
    rig.give(order())
    rig.engine.dirty[0] = "Memory is in use."
    sleep = rig.clock.sleep

    def clean_in_a_moment(seconds: float) -> None:
        sleep(seconds)
        if rig.clock() >= NOW + 2:
            rig.engine.dirty.clear()

    rig.daemon.gpus._sleep = clean_in_a_moment
    if again == "rebooted":
        rig.give(order(generation=2, token=2))
    else:
        rig.engine.exit(11, 137)
        rig.run_id = "run-2"
        rig.api.orders = [order()]
        rig.daemon.asker.ask()
        rig.drain()
    assert rig.engine.is_running(11)
    assert rig.clock() >= NOW + 2


def test_stopped_and_free_are_reported_together(rig: Rig) -> None:
    rig.give(order())
    rig.daemon.sender.step()
    rig.clock.now += 1
    rig.give(order(generation=2, desired="stopped"))
    rig.daemon.sender.step()
    state = rig.events()[-1][1]["state"]
    assert state["instances"][0]["status"] == "stopped"
    assert state["gpus"][0]["status"] == "free"


def test_an_instance_whose_gpu_is_gone_after_a_restart_is_failed_and_says_so(rig: Rig) -> None:
    held = order(gpus=(3,))
    rig.give(held)
    rig.engine.exit(11, 137)
    rig.engine.gone = {3}
    rig.run_id = "run-2"
    rig.api.orders = [held]
    rig.boot().drain()
    assert (rig.instance()["status"], rig.instance()["generation"]) == ("failed", 1)
    assert "gone from this machine" in rig.instance()["reason"]


def test_after_a_restart_without_a_gpu_the_others_keep_who_holds_them(rig: Rig) -> None:
    """The driver then numbers them anew."""
    rig.api.orders = [order(gpus=(2,))]
    rig.give(order(gpus=(2,)))
    rig.engine.gone = {0}
    rig.boot().drain()
    told = {gpu["uuid"]: (gpu["status"], gpu["instance_id"]) for gpu in rig.state()["gpus"]}
    assert told == {uuid_of(1): ("free", None), uuid_of(2): ("held", 11), uuid_of(3): ("free", None)}


def test_a_container_that_nobody_claims_holds_its_own_gpu_whatever_its_number_is_now(rig: Rig) -> None:
    rig.give(order(gpus=(2,)))
    (rig.folder / "journal").unlink()
    rig.engine.gone = {0}
    rig.boot()
    rig.pass_time(1)
    assert {gpu["uuid"]: gpu["instance_id"] for gpu in rig.state()["gpus"]}[uuid_of(2)] == 11


def test_a_higher_token_ends_who_has_its_gpu_and_not_who_had_its_number(rig: Rig) -> None:
    rig.give(order(12, gpus=(1,), token=1), order(13, gpus=(2,), token=2))
    rig.api.orders = [order(12, gpus=(1,), token=1), order(13, gpus=(2,), token=2)]
    rig.engine.gone = {0}
    rig.boot().drain()
    rig.give(order(14, gpus=(2,), token=3))
    assert rig.engine.is_running(12)
    assert not rig.engine.is_running(13)
    assert rig.engine.is_running(14)
    assert rig.engine.violations == []
