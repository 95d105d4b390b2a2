"""While an image is pulled, the host says how far it is: seldom, truly, and no longer than it lasts."""

from __future__ import annotations

import json

import pytest

from gpulease_host.engine import ImageMissingError, OvertakenError, Progress, PullWatch
from gpulease_host.loading import SAY_EVERY_S, Loading
from tests.host.fakes import FakeClock
from tests.host.orders import order
from tests.host.rig import Rig

NOTHING = Progress(0, 0, 0, 0)


def far(done_bytes: int) -> Progress:
    return Progress(0, 2, done_bytes, 1000)


def heard(clock: FakeClock) -> tuple[Loading, list[str]]:
    rings: list[str] = []
    loading = Loading(clock, lambda: rings.append(loading.said()[11].sentence))
    return loading, rings


def test_what_is_new_is_told_at_once_and_then_every_few_seconds() -> None:
    clock = FakeClock()
    loading, rings = heard(clock)
    for second in range(10):
        loading.say(11, f"at {second}", far(second))
        clock.now += 1
    assert rings == ["at 0", "at 3", "at 6", "at 9"]


def test_what_has_not_changed_is_not_told_again() -> None:
    clock = FakeClock()
    loading, rings = heard(clock)
    for _ in range(10):
        loading.say(11, "hangs", NOTHING)
        clock.now += SAY_EVERY_S
    assert rings == ["hangs"]


def test_a_long_pull_is_told_of_less_often() -> None:
    clock = FakeClock()
    loading, rings = heard(clock)
    for second in range(1800):
        loading.say(11, f"at {second}", far(second))
        clock.now += 1
    assert len(rings) < 110


def test_the_report_shows_it_only_while_it_loads(rig: Rig) -> None:
    seen = []

    def pull(watch: PullWatch) -> None:
        watch.say("Pulls its image: asks the registry.", NOTHING)
        seen.append(rig.instance())
        rig.clock.now += SAY_EVERY_S
        watch.say("Pulls its image: 0 of 2 layers.", far(7))
        seen.append(rig.instance())

    rig.engine.while_pulling = pull
    rig.give(order())
    assert [(each["status"], each["reason"]) for each in seen] == [
        ("loading", "Pulls its image: asks the registry."),
        ("loading", "Pulls its image: 0 of 2 layers."),
    ]
    assert seen[1]["progress"] == {"layers_done": 0, "layers": 2, "done_bytes": 7, "total_bytes": 1000}
    after = rig.instance()
    assert (after["status"], after["reason"], after["progress"]) == ("running", None, None)
    assert rig.daemon.loading.said() == {}


def test_each_step_is_an_event_and_no_line_in_the_journal(rig: Rig) -> None:
    rig.daemon.sender.step()
    journal = rig.folder / "journal"
    said: list[str | None] = []

    def pull(watch: PullWatch) -> None:
        rig.clock.now += 1
        rig.daemon.sender.step()
        size, sent = journal.stat().st_size, len(rig.sink.sent)
        for step in range(3):
            watch.say(f"step {step}", far(step))
            rig.clock.now += SAY_EVERY_S
            rig.daemon.sender.step()
        assert journal.stat().st_size == size
        said.extend(claims["state"]["instances"][0]["reason"] for _, claims in rig.events()[sent:])

    rig.engine.while_pulling = pull
    rig.give(order())
    assert said == ["step 0", "step 1", "step 2"]


def test_an_image_that_is_not_to_be_had_is_the_reason_of_the_failure(rig: Rig) -> None:
    login = {"server": "registry.example", "username": "somebody", "password": "hush-hush"}
    rig.api.secrets = json.dumps({"env": {}, "login": login}).encode()
    rig.engine.pull_error = ImageMissingError("registry.example/x:1 could not be pulled. (hush-hush of somebody)")
    rig.give(order())
    reason = "registry.example/x:1 could not be pulled. (… of …)"
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("failed", reason)
    assert rig.engine.starts() == []
    assert rig.gpu(0)["status"] == "free"
    assert "hush" not in rig.log.getvalue() + (rig.folder / "journal").read_text()


@pytest.mark.parametrize("desired", ["stopped", "absent"])
def test_a_pull_learns_that_it_is_no_longer_wanted(rig: Rig, desired: str) -> None:
    def pull(watch: PullWatch) -> None:
        assert watch.is_wanted()
        rig.command(order(generation=2, desired=desired))  # type: ignore[arg-type]
        assert not watch.is_wanted()
        raise OvertakenError("It is no longer wanted running.")

    rig.engine.while_pulling = pull
    rig.give(order())
    assert rig.instance()["status"] == desired
    assert rig.engine.starts() == []
    assert rig.gpu(0)["status"] == "free"
