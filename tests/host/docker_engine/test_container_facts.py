"""What is told of a container beyond Docker's state, read so that nobody in it can mislead the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine.container_config import INSTANCE_LABEL
from gpulease_host.docker_engine.container_facts import OutsideKills, onstart_exit_code
from gpulease_host.toolkit import layout

INSPECTED: dict[str, Any] = {"State": {"Pid": 7}, "Config": {"Entrypoint": list(layout.INIT)}}


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    folder = tmp_path / "7" / "root" / layout.SCRATCH.lstrip("/")
    folder.mkdir(parents=True)
    return folder / layout.ONSTART_EXIT_FILE


@pytest.mark.parametrize(("text", "code"), [("0", 0), ("3", 3), ("-9", -9), ("", None), ("soon", None)])
def test_exit_code_of_onstart_is_what_the_first_process_noted(
    tmp_path: Path, noted: Path, text: str, code: int | None
) -> None:
    assert onstart_exit_code(INSPECTED, tmp_path) is None
    noted.write_text(text)
    assert onstart_exit_code(INSPECTED, tmp_path) == code


def test_exit_code_is_of_no_other_mode_and_of_no_stopped_container(tmp_path: Path, noted: Path) -> None:
    noted.write_text("0")
    assert onstart_exit_code({**INSPECTED, "Config": {"Entrypoint": None}}, tmp_path) is None
    assert onstart_exit_code({**INSPECTED, "State": {"Pid": 0}}, tmp_path) is None


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_nothing_that_a_tenant_puts_in_its_place_is_followed_or_waited_for(
    tmp_path: Path, noted: Path, kind: str
) -> None:
    (tmp_path / "secret").write_text("42")
    match kind:
        case "link":
            noted.symlink_to(tmp_path / "secret")
        case "fifo":
            os.mkfifo(noted)
        case _:
            noted.mkdir()
    assert onstart_exit_code(INSPECTED, tmp_path) is None


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": {INSTANCE_LABEL: "11", **attributes}}}


@pytest.mark.parametrize(("signal", "ends"), [("15", True), ("9", True), ("2", True), ("1", False), ("28", False)])
def test_a_signal_by_docker_is_noted_until_the_next_start(signal: str, ends: bool) -> None:
    kills = OutsideKills()
    kills.note(event("kill", signal=signal))
    kills.note({"Action": "kill", "Actor": {"Attributes": {}}})
    assert kills.has(11) is ends
    kills.note(event("start"))
    assert not kills.has(11)
