"""What has expired does not start on a host that nobody can tell so. Online the same: `handlers/test_refusals.py`."""

from __future__ import annotations

import pytest

from gpulease_host.api import ApiUnreachableError
from gpulease_host.decide import ASKING_FIRST, PAST_END
from tests.host.orders import NOW, order
from tests.host.rig import Rig

END = NOW + 100


def cut_off(rig: Rig) -> None:
    rig.api.fetch_error = rig.api.manifest_error = ApiUnreachableError("no answer")
    rig.sink.is_down = True


def come_back(rig: Rig) -> None:
    """Everybody answers again, and the API would let anything start."""
    rig.api.fetch_error = rig.api.manifest_error = None
    rig.sink.is_down = False
    rig.pass_time(60)


@pytest.fixture
def stopped(rig: Rig) -> Rig:
    rig.give(order(end_at=END))
    rig.give(order(generation=2, desired="stopped", end_at=END))
    assert rig.engine.starts() == ["start 11 g1"]
    return rig


def test_cut_off_a_start_of_an_expired_contract_does_not_happen(stopped: Rig) -> None:
    cut_off(stopped)
    stopped.command(order(generation=3, token=2, end_at=END))
    stopped.pass_time(101)
    come_back(stopped)
    assert stopped.engine.starts() == ["start 11 g1"]
    assert (stopped.instance()["status"], stopped.instance()["reason"]) == ("stopped", PAST_END)


def test_cut_off_a_reboot_of_an_expired_contract_only_stops_it(rig: Rig) -> None:
    rig.give(order(end_at=END))
    cut_off(rig)
    rig.command(order(generation=2, token=2, end_at=END))
    rig.pass_time(101)
    come_back(rig)
    assert rig.engine.calls == ["start 11 g1", "stop 11"]
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("stopped", PAST_END)


def test_cut_off_a_queued_start_of_an_expired_contract_does_not_happen_when_its_gpu_comes_free(stopped: Rig) -> None:
    stopped.give(order(instance_id=12, token=2, end_at=END - 50))
    stopped.give(order(generation=3, desired="stopped", end_at=END))  # as the service asks for one that waits
    cut_off(stopped)
    stopped.pass_time(101)
    assert not stopped.engine.is_running(12)
    assert stopped.gpu(0)["status"] == "free"
    come_back(stopped)
    assert stopped.engine.starts() == ["start 11 g1", "start 12 g1"]


def test_cut_off_an_expired_contract_is_not_started_by_itself_after_a_reboot(rig: Rig) -> None:
    rig.give(order(end_at=END))
    rig.api.orders = [order(end_at=END)]
    rig.engine.exit(11, 137)
    rig.run_id = "run-2"
    cut_off(rig)
    rig.boot()
    rig.pass_time(50)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", ASKING_FIRST)
    rig.pass_time(51)
    come_back(rig)
    rig.daemon.asker.ask()
    rig.pass_time(5)
    assert rig.engine.starts() == ["start 11 g1"]
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("stopped", PAST_END)
