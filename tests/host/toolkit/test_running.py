"""Whatever a program of this machine does, the daemon that ran it has a reason to tell and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.toolkit import building, packages, running
from gpulease_host.toolkit.errors import ToolkitError
from tests.host.toolkit.conftest import stand_in


def test_what_is_no_text_is_read_as_well(tmp_path: Path) -> None:
    odd = stand_in(tmp_path, "odd", "printf 'a\\377b'")
    assert running.say([odd]) == "a\ufffdb"


def test_a_program_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="failing failed: the disk is full"):
        running.say([stand_in(tmp_path, "failing", "echo first >&2; echo the disk is full >&2; exit 1")])
    with pytest.raises(ToolkitError, match="silent failed: it ended with 7"):
        running.say([stand_in(tmp_path, "silent", "exit 7")])


def test_a_program_that_does_not_end_or_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="slow did not end"):
        running.run([stand_in(tmp_path, "slow", "exec sleep 20")], timeout_s=0.1)
    with pytest.raises(ToolkitError, match="gone could not be run"):
        running.run([tmp_path / "gone"])


def test_a_busybox_that_fails_refuses_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in packages.PROGRAMS.values():
        stand_in(tmp_path, name, "echo OpenSSH_9.2 >&2; exit 3")
    monkeypatch.setattr(packages, "SEARCH_PATH", str(tmp_path))
    with pytest.raises(ToolkitError, match="busybox failed"):
        building.build(tmp_path / "root")
