"""What an engine's inventory says of the modes that it serves and of the machine, each time that it is asked."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.docker_engine import open_engine
from gpulease_host.docker_engine.ways_in import NOBODY_GOT_IN, NobodyGotInError, WayInError, WaysIn
from gpulease_host.engine import EngineError, Secrets
from gpulease_host.toolkit.background import BUILDING, NO_TOOLKIT
from gpulease_host.toolkit.errors import ToolkitError
from tests.host.docker_engine.bench import wait_until
from tests.host.orders import order
from tests.host.toolkit.conftest import FakeBuilds


def test_only_args_is_served_without_a_toolkit_and_a_registration_builds_none(tmp_path: Path) -> None:
    builds = FakeBuilds()
    at_registration = WaysIn(tmp_path, builds.store(tmp_path / "toolkit"))
    assert at_registration.modes() == {"args": None, "ssh": BUILDING, "jupyter": BUILDING}
    assert builds.built == 0


def test_a_daemon_builds_the_toolkit_without_a_rental_and_then_serves_every_mode(tmp_path: Path) -> None:
    builds = FakeBuilds()
    ways_in = WaysIn(tmp_path, builds.store(tmp_path / "toolkit"), attends=True)
    wait_until(lambda: set(ways_in.modes().values()) == {None}, 20)
    assert set(ways_in.modes()) == {"args", "ssh", "jupyter"}
    assert builds.built == 1


def test_what_is_wrong_with_the_toolkit_is_told_to_the_owner_alone(tmp_path: Path) -> None:
    def refuse(_root: Path) -> None:
        raise ToolkitError("/root/secret: the index does not answer")

    builds = FakeBuilds()
    builds.before = refuse
    ways_in = WaysIn(tmp_path, builds.store(tmp_path / "toolkit"), attends=True)
    wait_until(lambda: "the index does not answer" in (ways_in.modes()["ssh"] or ""), 20)
    ssh = replace(order(), mode="ssh")
    assert ways_in.why_not_startable(ssh) == NO_TOOLKIT
    with pytest.raises(WayInError, match=NO_TOOLKIT):
        ways_in.prepare(ssh, Secrets(), None)


def test_ssh_is_not_served_once_nobody_could_log_in_twice_until_somebody_can(tmp_path: Path) -> None:
    ways_in = WaysIn(tmp_path, FakeBuilds().store(tmp_path / "toolkit"), attends=True)
    wait_until(lambda: set(ways_in.modes().values()) == {None}, 20)
    for error, served in (
        (NobodyGotInError("no answer"), None),
        (EngineError("no network is left"), None),
        (NobodyGotInError("no answer"), NOBODY_GOT_IN),
        (None, None),
        (NobodyGotInError("no answer"), None),
    ):
        with suppress(EngineError), ways_in.trial():
            if error is not None:
                raise error
        assert ways_in.modes() == {"args": None, "ssh": served, "jupyter": served}


def test_without_a_toolkit_no_login_is_tried_and_none_has_failed(tmp_path: Path) -> None:
    ways_in = WaysIn(tmp_path, FakeBuilds().store(tmp_path / "toolkit"))
    for _ in range(3):
        with pytest.raises(WayInError), ways_in.trial():
            raise AssertionError("it was tried")
    assert ways_in._failed_trials == 0


@pytest.mark.docker
def test_what_registers_says_what_it_serves_of_a_real_docker(
    docker_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `gpulease-host register` opens it, before any toolkit: nothing is wrong, and nothing is built."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    monkeypatch.setenv("GPULEASE_HOST_DIR", str(tmp_path))
    engine = open_engine(0, 4)
    told = engine.inventory()
    assert (told["modes"], told["not_ready"]) == ({"args": None, "ssh": BUILDING, "jupyter": BUILDING}, [])
    began = time.monotonic()
    assert engine.inventory() == told
    assert time.monotonic() - began < 0.1, "it is asked each ten seconds"
    assert not (tmp_path / "toolkit").exists()
