"""Executions live for months, so every version that was ever shipped stays readable, and none is changed afterwards."""

import hashlib

from infra.paths import STATE_MACHINE
from tests.statemachines.walking import RELEASED, load, released


def test_versions_count_up_from_one_without_gaps() -> None:
    assert sorted(released()) == list(range(1, len(released()) + 1))


def test_the_machine_is_the_latest_released_one() -> None:
    """After a change: copy it to `released/` under the next number, once the last one has been deployed anywhere."""
    latest = released()[max(released())]
    assert STATE_MACHINE.read_text() == latest.read_text(), f"{STATE_MACHINE.name} is not {latest.name}"


def test_every_released_version_still_finds_the_steps_it_calls() -> None:
    """A step may be added, never taken away: an execution that began a year ago calls it by name."""
    offered = {name for name, state in load()["States"].items() if state["Type"] == "Task"}
    for path in released().values():
        called = {name for name, state in load(path)["States"].items() if state["Type"] == "Task"}
        assert called <= offered, path.name


def test_no_released_version_was_edited() -> None:
    sums = dict(line.split("  ")[::-1] for line in (RELEASED / "SHA256SUMS").read_text().splitlines())
    assert sums == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in released().values()}
