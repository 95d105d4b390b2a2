"""A driver that does not answer when the daemon starts: its GPUs come back without another start."""

from __future__ import annotations

from gpulease_host.gpus import Gpus
from tests.host.fakes import FakeClock, FakeEngine
from tests.host.orders import NOW, inventory, order, uuid_of
from tests.host.rig import Rig

FAULT = "NVIDIA's driver does not answer: a version mismatch"


def without_driver(rig: Rig) -> Rig:
    """A daemon that never saw a GPU starts while nothing names any."""
    rig.engine.gone, rig.engine.not_startable = {0, 1, 2, 3}, FAULT
    return rig.boot()


def test_a_daemon_without_a_driver_ends_stops_and_removes_what_ran(rig: Rig) -> None:
    rig.give(order(11, end_at=NOW + 60), order(12, gpus=(1,)), order(13, gpus=(2,)))
    without_driver(rig)
    rig.give(order(12, generation=2, desired="stopped", gpus=(1,)))
    rig.give(order(13, generation=2, desired="absent", gpus=(2,)))
    rig.pass_time(61)
    assert [rig.instance(each)["status"] for each in (11, 12, 13)] == ["stopped", "stopped", "absent"]
    assert not any(rig.engine.is_running(each) for each in (11, 12, 13))
    assert rig.state()["gpus"] == [], "what is not named is out of use"


def test_what_is_wanted_meanwhile_waits_with_the_reason_and_starts_once_the_driver_answers(rig: Rig) -> None:
    without_driver(rig)
    rig.give(order(11))
    rig.pass_time(30)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", FAULT)
    assert rig.engine.starts() == []
    rig.engine.gone, rig.engine.not_startable = set(), None
    rig.pass_time(30)
    assert rig.instance()["status"] == "running"
    assert [rig.gpu(index)["status"] for index in range(4)] == ["held", "free", "free", "free"]


def test_an_order_for_a_gpu_that_nobody_knows_yet_can_be_locked() -> None:
    gpus = Gpus(FakeEngine(FakeClock(), 0), inventory(0), FakeClock(), lambda _seconds: None)
    assert gpus.start_locks({uuid_of(0)}) == gpus.start_locks({uuid_of(0)})


def test_a_start_that_comes_before_the_inventory_is_read_again_finds_its_gpu(rig: Rig) -> None:
    without_driver(rig)
    rig.engine.gone, rig.engine.not_startable = set(), None
    rig.give(order(11))
    assert rig.instance()["status"] == "running"
