"""Who used too much disk is ended, told, and given a while to delete; who nearly does is told before."""

from __future__ import annotations

import pytest

from gpulease_host.disk_overruns import DELETE_S, disk_warning
from gpulease_host.engine import Overrun
from tests.host.orders import order
from tests.host.rig import Rig

ALLOWED = 1000


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """It was ended for its disk, and is started again, with all of it still there."""
    rig.give(order())
    rig.engine.overruns = [Overrun(11, 1200, ALLOWED)]
    rig.pass_time(1)
    assert rig.instance()["status"] == "exited"
    assert "within 10 minutes" in rig.instance()["reason"]
    rig.give(order(generation=2, token=2))
    return rig


def test_next_start_leaves_ten_minutes_to_delete(rig: Rig) -> None:
    rig.pass_time(DELETE_S - 5)
    assert rig.instance()["status"] == "running"
    rig.pass_time(10)
    assert rig.instance()["status"] == "exited"


def test_who_deletes_in_time_goes_on_and_has_no_such_time_later(rig: Rig) -> None:
    rig.pass_time(60)
    rig.engine.overruns = []
    rig.pass_time(DELETE_S)
    assert rig.instance()["status"] == "running"
    assert rig.record().overrun_bytes is None
    rig.engine.overruns = [Overrun(11, 1001, ALLOWED)]
    rig.pass_time(1)
    assert rig.instance()["status"] == "exited"


def test_time_to_delete_is_none_to_write(rig: Rig) -> None:
    rig.engine.overruns = [Overrun(11, 1250, ALLOWED)]
    rig.pass_time(5)
    assert rig.instance()["status"] == "running"
    rig.engine.overruns = [Overrun(11, 1251, ALLOWED)]
    rig.pass_time(1)
    assert rig.instance()["status"] == "exited"


@pytest.mark.parametrize(
    ("used", "enforced", "told"),
    [
        (None, False, None),
        (899, False, None),
        (900, False, "it is stopped"),
        (900, True, "nothing more can be written"),
        (1000, False, "Over 90 %"),
        (1001, False, "within 10 minutes of its start"),
    ],
)
def test_a_disk_that_is_nearly_full_is_told(used: int | None, enforced: bool, told: str | None) -> None:
    warning = disk_warning(used, ALLOWED, is_enforced=enforced)
    assert (warning is None) if told is None else (told in str(warning))


def test_the_warning_is_the_reason_of_what_runs(rig: Rig) -> None:
    rig.engine.overruns = []
    nearly = order().limits.disk_bytes * 9 // 10
    rig.engine.disk_used_bytes = lambda instance_id: nearly  # type: ignore[method-assign]
    rig.pass_time(31)
    assert rig.instance()["status"] == "running"
    assert "Over 90 %" in rig.instance()["reason"]
