"""Whose Docker it is is told apart before anything is started, and ours runs in a CPU group of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import dockerd
from local.dockerd import DockerdError
from local.dockerd_answers import SilentDockerError, info_once_started, is_listening
from local.dockerd_group import ENGINE_GROUP, enter_engine_group

NOBODY = 65_534


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A socket where somebody listens and says nothing, as systemd does for a Docker that it starts."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def test_a_socket_on_which_nobody_listens_is_free(tmp_path: Path) -> None:
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left))
    for path in (left, tmp_path / "none"):
        assert not is_listening(path)
        assert info_once_started(path) is None


def test_a_socket_that_is_listened_on_is_not_free_though_nothing_answers(silent: Path) -> None:
    assert is_listening(silent)
    with pytest.raises(SilentDockerError, match="systemctl status docker"):
        info_once_started(silent, 0)


def test_who_may_not_use_a_docker_is_told_at_once(silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent.chmod(0)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{silent}")
    ours = os.geteuid()
    if ours == 0:
        os.seteuid(NOBODY)
    try:
        assert is_listening(silent)
        with pytest.raises(DockerdError, match="as root, or join the group docker"):
            dockerd.find(silent.parent / "none")
    finally:
        os.seteuid(ours)


def test_on_v1_the_engine_enters_a_group_that_weighs_as_all_tenants(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.shares").write_text("1024")
    assert enter_engine_group(tmp_path)[-1] == str(tmp_path / "cpu" / ENGINE_GROUP)
    assert int((tmp_path / "cpu" / ENGINE_GROUP / "cpu.shares").read_text()) % 10_240 == 0


def test_on_v2_it_has_the_most_weight_and_no_controllers_below(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert enter_engine_group(tmp_path)[-1] == str(tmp_path / ENGINE_GROUP)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    assert (tmp_path / ENGINE_GROUP / "cpu.weight").read_text() == "10000"
    assert not (tmp_path / ENGINE_GROUP / "cgroup.subtree_control").exists()


@pytest.mark.parametrize("controllers", [None, "memory pids\n"])
def test_without_cpu_groups_the_engine_runs_where_it_is(tmp_path: Path, controllers: str | None) -> None:
    if controllers is not None:
        (tmp_path / "cgroup.controllers").write_text(controllers)
    assert enter_engine_group(tmp_path) == []
