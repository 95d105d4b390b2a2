"""Events: at once on a change, else a heartbeat; what could not be sent is sent as it is by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.sender import COALESCE_S, TRANSIENT_S
from tests.host.orders import NOW, order
from tests.host.rig import Rig


@pytest.fixture
def settled(rig: Rig) -> Rig:
    """All was said, and the bus is empty again."""
    rig.daemon.sender.ring(must_say=True)
    rig.daemon.sender.step()
    rig.sink.sent.clear()
    rig.clock.now += 1
    return rig


def test_a_change_goes_at_once_with_the_whole_state(settled: Rig) -> None:
    settled.give(order(), order(instance_id=12, token=2, gpus=(1,)))
    settled.daemon.sender.step()
    ((kind, claims),) = settled.events()
    assert kind == "InstanceChanged"
    assert {each["instance_id"]: each["status"] for each in claims["state"]["instances"]} == {
        11: "running",
        12: "running",
    }
    assert (claims["host_id"], claims["boot_id"], claims["sent_at"]) == (7, "boot-1", NOW + 1)


def test_changes_close_together_go_as_one_event(settled: Rig) -> None:
    settled.give(order())
    settled.daemon.sender.step()
    settled.give(order(instance_id=12, token=2, gpus=(1,)))
    assert settled.daemon.sender.step() == pytest.approx(COALESCE_S)
    settled.give(order(instance_id=13, token=3, gpus=(2,)))
    settled.clock.now += COALESCE_S
    settled.daemon.sender.step()
    assert [len(claims["state"]["instances"]) for _, claims in settled.events()] == [1, 3]


def test_loading_is_said_only_when_it_lasts(settled: Rig) -> None:
    settled.command(order())
    assert settled.daemon.sender.step() == pytest.approx(TRANSIENT_S)
    assert settled.sink.sent == []
    settled.clock.now += TRANSIENT_S
    settled.daemon.sender.step()
    assert settled.events()[0][1]["state"]["instances"][0]["status"] == "loading"


def test_nothing_new_is_not_said(settled: Rig) -> None:
    settled.daemon.sender.ring()
    settled.daemon.sender.step()
    assert settled.sink.sent == []


def test_a_heartbeat_comes_each_minute_of_silence(settled: Rig) -> None:
    for _ in range(180):
        settled.clock.now += 1
        settled.daemon.sender.step()
    assert [kind for kind, _ in settled.events()] == ["Heartbeat"] * 3


def test_a_failed_event_is_sent_again_as_the_state_is_by_then(settled: Rig) -> None:
    settled.sink.is_down = True
    settled.give(order())
    delay = settled.daemon.sender.step()
    assert 0 < delay <= 0.5
    settled.give(order(generation=2, desired="stopped"))
    settled.sink.is_down = False
    settled.clock.now += delay
    settled.daemon.sender.step()
    ((kind, claims),) = settled.events()
    assert kind == "InstanceChanged"
    assert claims["state"]["instances"][0]["status"] == "stopped"


def test_failures_are_tried_again_ever_more_slowly(settled: Rig) -> None:
    settled.sink.is_down = True
    settled.give(order())
    delays = []
    for _ in range(10):
        delays.append(settled.daemon.sender.step())
        settled.clock.now += delays[-1]
    assert delays == sorted(delays)
    assert delays[-1] == pytest.approx(22.5)
    assert len([each for each in settled.log_events() if each["event"] == "event not sent"]) == 10


def test_sequence_numbers_rise_over_restarts(folder: Path) -> None:
    rig = Rig(folder)
    for _ in range(3):
        rig.boot()
        rig.daemon.sender.step()
        rig.clock.now += 100
        rig.daemon.sender.step()
    numbers = [(claims["boot_id"], claims["seq"]) for _, claims in rig.events()]
    assert [boot for boot, _ in numbers] == ["boot-1"] * 2 + ["boot-2"] * 2 + ["boot-3"] * 2
    assert [seq for _, seq in numbers] == sorted({seq for _, seq in numbers})


def test_the_state_says_sweeping_until_the_manifest_was_asked(folder: Path) -> None:
    rig = Rig(folder).boot(ask=False)
    assert rig.state()["sweeping"] is True
    rig.daemon.asker.ask()
    assert rig.state()["sweeping"] is False
