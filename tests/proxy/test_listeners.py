"""Whatever OpenSSH calls its processes, the proxy knows them, and takes nothing else for one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy import listeners


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(listeners, "PROC", tmp_path)
    return tmp_path


def add(processes: Path, pid: int, name: str) -> None:
    (processes / str(pid)).mkdir()
    (processes / str(pid) / "stat").write_text(f"{pid} ({name}) S 1 {pid} {pid} 0 -1\n")


def test_the_processes_of_every_openssh_are_known(processes: Path) -> None:
    """Up to 9.7 all are `sshd`; 9.8 has `sshd-session`, and 10.0 `sshd-auth` for who is not yet let in."""
    for pid, name in ((1, "sshd"), (2, "sshd-session"), (3, "sshd-auth")):
        add(processes, pid, name)
    assert listeners.sshd_pids() == {1, 2, 3}


def test_other_processes_are_not_taken_for_sshd(processes: Path) -> None:
    for pid, name in ((1, "ssh"), (2, "sshd-"), (3, "nginx"), (4, "x) S 1 (sshd"), (5, "")):
        add(processes, pid, name)
    (processes / "6").mkdir()
    (processes / "sys").mkdir()
    assert listeners.sshd_pids() == set()
