"""Whoever needs a toolkit waits for the first, and never for a later one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gpulease_host.toolkit import manifest
from gpulease_host.toolkit.background import AGAIN_S, BUILDING, LOOK_S, TRYING, ToolkitKeeper
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.store import ToolkitStore
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


@dataclass
class Minutes:
    """A keeper that is attended to each minute and does its work at once."""

    store: ToolkitStore
    now: float = 0.0

    def __post_init__(self) -> None:
        self.keeper = ToolkitKeeper(
            self.store, lambda: self.now, lambda: self.now, lambda: 0.99, start=lambda work: work()
        )

    def pass_by(self, count: int, built: Callable[[], int] = lambda: 0) -> list[int]:
        """The minutes in which it was built."""
        built_at = []
        for minute in range(count):
            before = built()
            self.keeper.attend()
            if built() > before:
                built_at.append(minute)
            self.now += AGAIN_S
        return built_at


@pytest.fixture
def failing(builds: FakeBuilds, tmp_path: Path) -> Minutes:
    builds.before = refuse
    return Minutes(builds.store(tmp_path))


def test_a_build_that_fails_is_tried_ever_more_seldom_but_each_hour(builds: FakeBuilds, failing: Minutes) -> None:
    assert failing.pass_by(250, lambda: builds.built) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert "the index does not answer" in (failing.keeper.why_not_ready() or "")


def test_a_change_of_packages_is_tried_within_a_minute(builds: FakeBuilds, failing: Minutes) -> None:
    failing.pass_by(20)
    builds.fingerprint = OLD
    assert failing.pass_by(4, lambda: builds.built) == [0, 1, 3]


def test_a_toolkit_that_is_built_by_hand_is_used_within_a_minute(
    builds: FakeBuilds, failing: Minutes, tmp_path: Path
) -> None:
    failing.pass_by(20)
    builds.before = lambda root: None
    by_hand = builds.store(tmp_path).ensure()
    failing.pass_by(1)
    assert failing.keeper.ready() == by_hand


def test_a_damaged_toolkit_is_not_read_each_minute(builds: FakeBuilds, tmp_path: Path) -> None:
    (builds.store(tmp_path).ensure() / "program").write_text("changed")
    read = []

    def prove(root: Path) -> int:
        read.append(root)
        return manifest.verify(root)

    minutes = Minutes(replace(builds.store(tmp_path), prove=prove))
    minutes.pass_by(60)
    assert len(read) < 20
    assert "program of the toolkit was changed" in (minutes.keeper.why_not_ready() or "")


def test_a_thread_that_cannot_be_started_is_tried_again(builds: FakeBuilds, tmp_path: Path) -> None:
    threads = iter([RuntimeError("can't start new thread")])

    def start(work: Callable[[], None]) -> None:
        for refused in threads:
            raise refused
        work()

    now = [0.0]
    keeper = ToolkitKeeper(builds.store(tmp_path), lambda: now[0], lambda: now[0], start=start)
    assert "can't start new thread" in (keeper.why_not_ready() or "")
    now[0] += AGAIN_S
    assert keeper.ready() == tmp_path / NEW


@pytest.mark.parametrize("text", ["[]", "3", '{"files": []}', '{"files": {"program": 3}}', "\0", "{}"])
def test_a_manifest_of_another_shape_ends_no_daemon(builds: FakeBuilds, tmp_path: Path, text: str) -> None:
    (builds.store(tmp_path).ensure() / manifest.MANIFEST).write_text(text)
    minutes = Minutes(builds.store(tmp_path))
    minutes.pass_by(1)
    assert (minutes.keeper.why_not_ready() or "").startswith("The host has no toolkit")


def test_a_toolkit_that_is_there_is_served_before_it_is_tried(builds: FakeBuilds, tmp_path: Path) -> None:
    """So a registration says at once what the host will serve, and a daemon that starts takes no mode away."""
    builds.store(tmp_path).ensure()
    keeper = ToolkitKeeper(builds.store(tmp_path))
    assert keeper.why_not_served() is None
    assert builds.built == 1, "asking starts no work"


def test_without_a_toolkit_its_modes_are_not_served_until_one_is_built(builds: FakeBuilds, tmp_path: Path) -> None:
    builds.before = refuse
    minutes = Minutes(builds.store(tmp_path))
    assert minutes.keeper.why_not_served() == BUILDING
    assert not list(tmp_path.iterdir()), "asking starts no work"
    minutes.pass_by(1)
    assert "the index does not answer" in (minutes.keeper.why_not_served() or "")
    builds.before = lambda root: None
    minutes.pass_by(1)
    assert minutes.keeper.why_not_served() is None


def test_a_toolkit_of_before_serves_while_a_new_one_is_built_or_cannot_be(builds: FakeBuilds, tmp_path: Path) -> None:
    builds.store(tmp_path).ensure()
    asked: list[str | None] = []
    minutes = Minutes(builds.store(tmp_path))

    def ask_and_refuse(root: Path) -> None:
        asked.append(minutes.keeper.why_not_served())
        refuse(root)

    builds.fingerprint, builds.before = OLD, ask_and_refuse
    minutes.pass_by(3)
    assert asked
    assert {*asked, minutes.keeper.why_not_served()} == {None}


def test_a_damaged_toolkit_serves_no_mode_once_it_is_tried(builds: FakeBuilds, tmp_path: Path) -> None:
    (builds.store(tmp_path).ensure() / "program").write_text("changed")
    builds.fingerprint, builds.before = OLD, refuse
    minutes = Minutes(builds.store(tmp_path))
    minutes.pass_by(1)
    assert "the index does not answer" in (minutes.keeper.why_not_served() or "")


def test_a_toolkit_that_somebody_removes_is_missed_and_built_again(builds: FakeBuilds, tmp_path: Path) -> None:
    minutes = Minutes(builds.store(tmp_path))
    minutes.pass_by(1)
    shutil.rmtree(tmp_path / NEW)
    assert minutes.keeper.ready() == tmp_path / NEW
    assert builds.built == 2


def test_a_toolkit_that_is_removed_while_it_is_looked_at_is_built_again(
    builds: FakeBuilds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = Minutes(builds.store(tmp_path))
    minutes.pass_by(1)

    def remove_and_attend(*_: object) -> None:
        """Between the look at the packages and its end."""
        shutil.rmtree(tmp_path / NEW)
        minutes.keeper.attend()

    minutes.now += LOOK_S
    with monkeypatch.context() as patched:
        patched.setattr(ToolkitStore, "remove_unused", remove_and_attend)
        minutes.keeper.attend()
    assert minutes.keeper.ready() == tmp_path / NEW
    assert builds.built == 2


def test_who_starts_while_the_toolkit_is_tried_is_told_so(builds: FakeBuilds, tmp_path: Path) -> None:
    """An older one is tried first, and while a new one is built behind it starts go on."""
    builds.store(tmp_path).ensure()
    go_on = threading.Event()

    def prove(root: Path) -> int:
        go_on.wait(20)
        return manifest.verify(root)

    keeper = ToolkitKeeper(replace(builds.store(tmp_path), prove=prove), lambda: 0.0, lambda: 0.0)
    assert keeper.why_not_ready() == TRYING
    assert keeper.why_not_served() is None
    go_on.set()
    wait_until(lambda: keeper.why_not_ready() is None, 20)
    assert builds.built == 1
