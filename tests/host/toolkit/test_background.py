"""Whoever needs a toolkit waits for the first, and never for a later one."""

from __future__ import annotations

import threading
from pathlib import Path

from gpulease_host.toolkit.background import AGAIN_S, BUILDING, LOOK_S, ToolkitKeeper
from gpulease_host.toolkit.errors import ToolkitError
from tests.host.docker_engine.bench import wait_until
from tests.host.toolkit.conftest import NEW, OLD, FakeBuilds


def refuse(root: Path) -> None:
    raise ToolkitError("the index does not answer")


def test_a_keeper_builds_aside_and_says_why_one_has_to_wait(builds: FakeBuilds, tmp_path: Path) -> None:
    go_on = threading.Event()
    builds.before = lambda root: go_on.wait(20)
    keeper = ToolkitKeeper(builds.store(tmp_path), lambda: 0.0, lambda: 0.0)
    assert keeper.why_not_ready() == BUILDING
    go_on.set()
    wait_until(lambda: keeper.why_not_ready() is None, 20)
    assert keeper.ready() == tmp_path / NEW


def test_a_keeper_tries_again_and_starts_go_on_with_what_there_is(builds: FakeBuilds, tmp_path: Path) -> None:
    now = [0.0]
    keeper = ToolkitKeeper(builds.store(tmp_path), lambda: now[0], lambda: now[0])

    builds.before = refuse
    keeper.attend()
    wait_until(lambda: "the index does not answer" in (keeper.why_not_ready() or ""), 20)
    builds.before = lambda root: None
    now[0] += AGAIN_S
    wait_until(lambda: keeper.why_not_ready() is None, 20)
    builds.fingerprint, builds.before = OLD, refuse
    now[0] += LOOK_S
    keeper.attend()
    wait_until(lambda: builds.built == 3, 20)
    assert keeper.ready() == tmp_path / NEW


def test_after_a_restart_starts_go_on_with_the_toolkit_of_before_while_a_new_one_is_built(
    builds: FakeBuilds, tmp_path: Path
) -> None:
    builds.store(tmp_path).ensure()
    go_on = threading.Event()
    builds.fingerprint, builds.before = OLD, lambda root: go_on.wait(20)
    keeper = ToolkitKeeper(builds.store(tmp_path), lambda: 0.0, lambda: 0.0)
    wait_until(lambda: keeper.ready() == tmp_path / NEW, 20)
    assert not (tmp_path / OLD).exists()
    go_on.set()
    wait_until(lambda: keeper.ready() == tmp_path / OLD, 20)


def test_after_a_restart_starts_go_on_with_the_toolkit_of_before_when_no_new_one_can_be_built(
    builds: FakeBuilds, tmp_path: Path
) -> None:
    builds.store(tmp_path).ensure()
    builds.fingerprint, builds.before = OLD, refuse
    keeper = ToolkitKeeper(builds.store(tmp_path), lambda: 0.0, lambda: 0.0)
    wait_until(lambda: keeper.why_not_ready() is None, 20)
    assert keeper.ready() == tmp_path / NEW


def test_a_toolkit_of_before_that_was_changed_is_not_used(builds: FakeBuilds, tmp_path: Path) -> None:
    (builds.store(tmp_path).ensure() / "program").write_text("changed")
    builds.fingerprint, builds.before = OLD, refuse
    keeper = ToolkitKeeper(builds.store(tmp_path), lambda: 0.0, lambda: 0.0)
    wait_until(lambda: "the index does not answer" in (keeper.why_not_ready() or ""), 20)
    assert keeper.ready() is None
