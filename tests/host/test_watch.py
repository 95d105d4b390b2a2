"""What fails in the watch of each second keeps nothing else of it from being done."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.decide import STRAY_LIFE_S
from gpulease_host.engine import EngineError
from gpulease_host.gpus import SETTLING_S
from gpulease_host.watch import RECONCILE_S
from tests.host.orders import order
from tests.host.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """The firewall cannot be set, second after second."""
    made = Rig(tmp_path).boot()
    made.give(order())
    made.engine.watch_error = EngineError("iptables-restore is missing")
    return made


def test_a_gpu_that_becomes_clean_is_free_although_the_firewall_fails(rig: Rig) -> None:
    rig.engine.dirty[0] = "Memory is in use."
    rig.give(order(generation=2, desired="stopped"))
    rig.pass_time(SETTLING_S)
    assert rig.gpu(0)["status"] == "quarantined"
    rig.engine.dirty.clear()
    rig.pass_time(1)
    assert rig.gpu(0)["status"] == "free"


def test_an_end_whose_event_was_lost_is_noticed_although_the_firewall_fails(rig: Rig) -> None:
    rig.engine.exit(11, 0)
    rig.pass_time(RECONCILE_S + 1)
    assert rig.instance()["status"] == "exited"


def test_what_nobody_claims_is_stopped_although_the_firewall_fails(rig: Rig) -> None:
    (rig.folder / "journal").unlink()
    rig.boot()
    rig.pass_time(STRAY_LIFE_S + RECONCILE_S + 1)
    assert not rig.engine.is_running(11)


def test_what_fails_each_second_is_logged_once(rig: Rig) -> None:
    rig.pass_time(30)
    assert [each["reason"] for each in rig.log_events() if each["event"] == "watch fails"] == [
        "iptables-restore is missing"
    ]


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        RuntimeError("no thread"),
        AttributeError("nvml"),
    ],
)
def test_a_fault_of_the_machine_that_nobody_foresaw_ends_no_other_step(rig: Rig, error: Exception) -> None:
    rig.engine.watch_error = error
    rig.engine.exit(11, 0)
    rig.pass_time(RECONCILE_S + 1)
    assert rig.instance()["status"] == "exited"
    *_, said = [each["reason"] for each in rig.log_events() if each["event"] == "watch fails"]
    assert said.startswith(f"{type(error).__name__} at ")


def test_a_mode_that_comes_or_goes_is_told_with_the_next_look(rig: Rig) -> None:
    rig.engine.watch_error = None
    rig.pass_time(RECONCILE_S + 1)
    rig.daemon.sender.step()
    gone = {"modes": {"args": None, "ssh": "No toolkit.", "jupyter": "No toolkit."}, "not_ready": ["Docker is old."]}
    rig.engine.told = gone
    rig.pass_time(RECONCILE_S + 1)
    rig.daemon.sender.step()
    kind, claims = rig.events()[-1]
    assert kind == "InstanceChanged", "offers wait for no heartbeat"
    assert {name: claims["state"]["inventory"][name] for name in gone} == gone


def test_an_inventory_that_cannot_be_read_stays_as_it_was(rig: Rig) -> None:
    rig.engine.is_down = True
    rig.pass_time(RECONCILE_S + 1)
    assert rig.state()["inventory"]["modes"]["ssh"] is None
