"""The Docker that runs here: its arguments, and what it says to a file of settings."""

from __future__ import annotations

import os
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


def test_it_is_found_by_its_pid_file_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "docker.pid").write_text("7\n")
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"/usr/bin/dockerd\0-H\0fd://\0")
    found = Dockerd.find([tmp_path / "none", tmp_path / "docker.pid"], tmp_path)
    assert (found.pid, list(found.arguments)) == (7, ["-H", "fd://"])


def test_one_that_is_not_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineSetupError, match="was not found"):
        Dockerd.find([tmp_path / "docker.pid"], tmp_path)


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
