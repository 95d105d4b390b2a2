"""Whatever OpenSSH calls its processes, the proxy knows them, and takes nothing else for one of them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from proxy import listeners
from proxy.silence import silence_s


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


def listen(processes: Path, *rows: tuple[str, str]) -> None:
    """(address and port as the kernel writes them, inode) each."""
    (processes / "self/net").mkdir(parents=True)
    lines = [f"{number}: {place} 00000000:0000 0A 0:0 0:0 0 0 0 {inode}" for number, (place, inode) in enumerate(rows)]
    (processes / "self/net/tcp").write_text("\n".join(["heading", *lines]) + "\n")


def hold(processes: Path, pid: int, *inodes: str) -> None:
    (processes / str(pid) / "fd").mkdir()
    for number, inode in enumerate(inodes):
        (processes / str(pid) / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def test_only_who_came_in_by_this_proxys_port_is_its_own(processes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 came in here, 30 by the port of another site's proxy, at the same address and as the same account."""
    asked: list[tuple[str, int]] = []

    def silence_s(address: str, port: int) -> dict[str, float]:
        asked.append((address, port))
        return {"201": 2.0}

    monkeypatch.setattr(listeners, "silence_s", silence_s)
    listen(processes, ("0100007F:7D00", "202"), ("0100007F:7D01", "302"))
    for pid, inodes in ((20, ("201", "202")), (30, ("301", "302"))):
        add(processes, pid, "sshd")
        hold(processes, pid, *inodes)
    found = listeners.listeners({"127.0.0.1"}, "127.0.0.1", 2222)
    assert [(each.pid, each.ports, each.silent_s) for each in found] == [(20, frozenset({32000}), 2.0)]
    assert asked == [("127.0.0.1", 2222)]


def test_what_an_earlier_run_left_is_known_by_its_folder(processes: Path, tmp_path: Path) -> None:
    for pid, name, folder in ((1, "nginx", "/a/state"), (2, "nginx", "/b/state"), (3, "sshd", "/a/state")):
        add(processes, pid, name)
        (processes / str(pid) / "cwd").symlink_to(folder)
    add(processes, 4, "nginx")
    assert listeners.left_in(Path("/a/state"), "nginx") == {1}


def test_silence_is_told_of_this_address_and_port_only() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.2", one.getsockname()[1])) as two,
    ):
        port = one.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.2", port)):
            accepted = [one.accept()[0], two.accept()[0]]
            inodes = [str(os.fstat(each.fileno()).st_ino) for each in accepted]
            assert set(silence_s("127.0.0.1", port)) == {inodes[0]}
            assert set(silence_s("0.0.0.0", port)) == set(inodes)
            for each in accepted:
                each.close()
