"""The Docker that runs here: its arguments, and what it says to a file of settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpulease_host.machine_setup.dockerd import Dockerd
from gpulease_host.machine_setup.errors import MachineSetupError


def dockerd(*arguments: str, program: str = "dockerd") -> Dockerd:
    return Dockerd(os.getpid(), arguments, program)


def make_program(tmp_path: Path, body: str) -> str:
    path = tmp_path / "dockerd"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A socket that this process listens on, and a connection to it, which the kernel lists by the same path."""
    path = tmp_path / "run" / "docker.sock"
    path.parent.mkdir()
    (tmp_path / "var").symlink_to(path.parent)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen()
        client.connect(str(path))
        yield path


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """As the kernel shows this very process, but that it is called dockerd."""
    process = tmp_path / "proc" / str(os.getpid())
    process.mkdir(parents=True)
    (process / "cmdline").write_bytes(b"/usr/bin/dockerd\0-H\0fd://\0")
    (process / "fd").symlink_to("/proc/self/fd")
    (tmp_path / "proc" / "net").symlink_to("/proc/self/net")
    (tmp_path / "docker.pid").write_text(f"{os.getpid()}\n")
    return tmp_path / "proc"


def test_it_is_found_by_its_pid_file_with_its_arguments(tmp_path: Path, listening: Path, proc: Path) -> None:
    for path in (listening, tmp_path / "var" / "docker.sock"):
        found = Dockerd.find(path, [tmp_path / "none", tmp_path / "docker.pid"], proc)
        assert (found.pid, list(found.arguments)) == (os.getpid(), ["-H", "fd://"])


def test_one_without_a_pid_file_is_said(tmp_path: Path, listening: Path, proc: Path) -> None:
    with pytest.raises(MachineSetupError, match="was not found"):
        Dockerd.find(listening, [tmp_path / "none"], proc)


@pytest.mark.parametrize("words", [b"/usr/bin/python3\0dockerd\0", b"", b"/usr/bin/dockerd-rootless.sh\0"])
def test_another_program_with_its_old_number_is_not_taken(
    tmp_path: Path, listening: Path, proc: Path, words: bytes
) -> None:
    (proc / str(os.getpid()) / "cmdline").write_bytes(words)
    with pytest.raises(MachineSetupError, match="was not found"):
        Dockerd.find(listening, [tmp_path / "docker.pid"], proc)


def test_another_docker_than_the_one_in_use_is_not_taken(tmp_path: Path, listening: Path, proc: Path) -> None:
    with pytest.raises(MachineSetupError, match=f"behind {tmp_path}/other.sock was not found"):
        Dockerd.find(tmp_path / "other.sock", [tmp_path / "docker.pid"], proc)
    (proc / str(os.getpid()) / "fd").unlink()
    (proc / str(os.getpid()) / "fd").mkdir()
    with pytest.raises(MachineSetupError, match="was not found"):
        Dockerd.find(listening, [tmp_path / "docker.pid"], proc)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("-H", "fd://"), None),
        (("--live-restore",), "true"),
        (("--live-restore", "-H", "fd://"), "true"),
        (("--live-restore=false",), "false"),
        (("--live-restored=false",), None),
    ],
)
def test_flags_are_read_as_docker_reads_them(arguments: tuple[str, ...], value: str | None) -> None:
    assert dockerd(*arguments).flag("live-restore") == value


@pytest.mark.parametrize("arguments", [("--config-file", "/x/y.json"), ("--config-file=/x/y.json",)])
def test_its_settings_are_where_it_was_told(arguments: tuple[str, ...]) -> None:
    assert dockerd(*arguments).settings_path == Path("/x/y.json")


def test_a_file_is_proved_beside_todays_arguments(tmp_path: Path) -> None:
    program = make_program(tmp_path, 'echo "the following directives: $*" >&2; exit 1')
    said = dockerd("-H", "fd://", program=program).complaint_about(tmp_path / "daemon.json")
    assert said == f"the following directives: -H fd:// --validate --config-file {tmp_path}/daemon.json"


@pytest.mark.parametrize("body", ["exit 0", "echo 'unknown flag: --validate' >&2; exit 125"], ids=["fine", "20.10"])
def test_one_that_is_content_or_cannot_be_asked_has_no_complaint(tmp_path: Path, body: str) -> None:
    assert dockerd(program=make_program(tmp_path, body)).complaint_about(tmp_path / "daemon.json") is None
