"""Whose key was taken away is let out, and nobody else."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpulease_host.toolkit import packages
from gpulease_host.toolkit.inside import places
from gpulease_host.toolkit.inside.connections import Connection, FarEnd, holders, of_children
from gpulease_host.toolkit.inside.sessions import LOGIN_S, LOOK_S, MANY, Keys, Sessions, fingerprints
from tests.host.fakes import FakeClock

PORTS = {5001: "SHA256:kept", 5002: "SHA256:gone"}


@dataclass
class Far:
    """Connections, one process each, and the keys that may come in."""

    allowed: set[str] | None = field(default_factory=lambda: set(PORTS.values()))
    killed: list[int] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def sessions(self) -> Sessions:
        made = Sessions(lambda: self.allowed, lambda far_end: [far_end[1]], set, self.kill)
        for port, key in PORTS.items():
            made.note(f"Accepted publickey for root from 10.0.0.1 port {port} ssh2: ED25519 {key}")
        return made

    def kill(self, pid: int, signo: int) -> None:
        if pid in self.gone:
            raise ProcessLookupError
        self.killed.append(pid)


def test_sessions_of_a_key_that_is_gone_end_and_no_others() -> None:
    far = Far()
    sessions = far.sessions()
    assert sessions.end_without_key()
    assert far.killed == []
    far.allowed = {"SHA256:kept"}
    assert sessions.end_without_key()
    assert sessions.end_without_key()
    assert far.killed == [5002]


def test_a_session_that_has_just_ended_by_itself_keeps_no_other_from_being_ended() -> None:
    far = Far(allowed=set(), gone={5001})
    assert far.sessions().end_without_key()
    assert far.killed == [5002]


def test_while_nobody_can_tell_which_keys_are_there_nobody_is_let_out() -> None:
    far = Far(allowed=None)
    sessions = far.sessions()
    assert not sessions.end_without_key()
    far.allowed = {"SHA256:kept"}
    assert sessions.end_without_key()
    assert far.killed == [5002]


@pytest.mark.parametrize("far_end", ["nowhere port 1", "10.0.0 port 1", "10.0.0.1 port 1234567"])
def test_what_others_write_into_sshds_words_is_nobodys_session(far_end: str) -> None:
    far = Far(allowed=set())
    sessions = Sessions(lambda: far.allowed, lambda far_end: [1], set, far.kill)
    sessions.note(f"Accepted publickey for root from {far_end} ssh2: ED25519 SHA256:x")
    assert sessions.end_without_key()
    assert far.killed == []


@dataclass
class Table:
    """A stand-in for /proc, with processes that hold sockets."""

    folder: Path

    def connect(self, far_end: str, inode: int, here: str = "0100007F:2726", state: str = "01") -> None:
        (self.folder / "net").mkdir(exist_ok=True)
        with (self.folder / "net" / "tcp").open("a") as file:
            file.write("heading\n" if file.tell() == 0 else "")
            file.write(f"0: {here} {far_end} {state} 0:0 0:0 0 0 0 {inode} 1\n")

    def add(self, pid: int, program: str, inode: int) -> None:
        (self.folder / str(pid) / "fd").mkdir(parents=True)
        (self.folder / str(pid) / "exe").symlink_to(program)
        (self.folder / str(pid) / "fd" / "4").symlink_to(f"socket:[{inode}]")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(places, "PROC", tmp_path)
    made = Table(tmp_path)
    made.connect("0100000A:1389", 77)
    made.connect("0100000A:138A", 78)
    return made


@pytest.mark.parametrize("program", ["sshd", "sshd-session", "sshd-auth"])
def test_a_connection_is_found_whichever_program_of_sshd_holds_it(table: Table, program: str) -> None:
    table.add(20, f"/.gl/bin/{program}", 77)
    table.add(21, f"/.gl/bin/{program}", 78)
    assert list(holders(("10.0.0.1", 5001))) == [20]


@pytest.mark.parametrize("program", ["/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/.gl/bin/sshd-other", "/x"])
def test_a_program_of_the_image_is_not_taken_for_sshd(table: Table, program: str) -> None:
    table.add(20, program, 77)
    assert list(holders(("10.0.0.1", 5001))) == []


@dataclass
class Looks:
    path: Path
    clock: FakeClock = field(default_factory=FakeClock)
    answers: list[bool] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path.write_text("first")
        self.keys = Keys(self.path, self._end, self.clock)
        self.keys.look()
        self.began = self.clock()

    def _end(self) -> bool:
        self.at.append(self.clock() - self.began)
        return self.answers.pop(0) if self.answers else True

    def change(self) -> None:
        beside = self.path.with_suffix(".new")
        beside.write_text("second")
        beside.replace(self.path)

    def pass_time(self, seconds: float, step_s: float = LOOK_S / 4) -> None:
        for _ in range(int(seconds / step_s)):
            self.keys.look()
            self.clock.sleep(step_s)


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(tmp_path / "keys")


def test_nobody_looks_while_no_key_has_changed(looks: Looks) -> None:
    looks.pass_time(100)
    assert looks.at == []


def test_a_login_that_had_begun_before_its_key_went_is_looked_for_until_none_can_be_under_way(looks: Looks) -> None:
    config = (packages.INSIDE / "sshd_config").read_text()
    (grace_s,) = re.findall(r"^LoginGraceTime (\d+)$", config, re.MULTILINE)
    looks.change()
    looks.pass_time(100)
    assert looks.at == [float(second) for second in range(int(LOGIN_S / LOOK_S))]
    assert looks.at[-1] >= int(grace_s) + LOOK_S


def test_a_look_that_told_nothing_is_repeated_until_one_does(looks: Looks) -> None:
    looks.answers = [False] * 60
    looks.change()
    looks.pass_time(100)
    assert looks.at[-1] == 60.0


def test_a_change_is_looked_at_at_once_also_between_two_looks(looks: Looks) -> None:
    looks.change()
    looks.pass_time(0.25)
    looks.change()
    looks.pass_time(0.25)
    assert looks.at == [0.0, 0.25]


def test_keys_that_cannot_be_seen_are_looked_at_later(looks: Looks) -> None:
    looks.path.unlink()
    looks.pass_time(10)
    looks.path.write_text("second")
    looks.pass_time(1)
    assert looks.at == [10.0]


def test_fingerprints_are_of_all_keys_or_cannot_be_told(tmp_path: Path) -> None:
    keygen = shutil.which("ssh-keygen") or pytest.skip("no ssh-keygen")
    keys = tmp_path / "authorized_keys"
    for name in ("a", "b"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    keys.write_text(f'restrict,command="x y" {(tmp_path / "a.pub").read_text()}{(tmp_path / "b.pub").read_text()}')
    assert {each[:7] for each in fingerprints(keygen, keys) or ()} == {"SHA256:"}
    assert len(fingerprints(keygen, keys) or ()) == 2
    assert fingerprints(str(tmp_path / "missing"), keys) is None
    assert fingerprints(keygen, tmp_path / "missing") is None
    assert fingerprints("/bin/false", keys) is None


def test_connections_of_an_sshd_are_told_with_their_far_ends(table: Table) -> None:
    (table.folder / "10/task/10").mkdir(parents=True)
    (table.folder / "10/task/10/children").write_text("20 21 22 23 ")
    table.add(20, "/.gl/bin/sshd-session", 77)
    table.add(21, "/bin/bash", 78)
    table.add(22, "/.gl/bin/sshd", 99)
    (table.folder / "20/task/20").mkdir(parents=True)
    (table.folder / "20/task/20/children").write_text("30 ")
    assert of_children(10) == {20: Connection(("10.0.0.1", 5001), has_spoken=True)}


def test_a_port_that_a_session_forwards_is_not_taken_for_its_connection(table: Table) -> None:
    """The process of a login holds both, up to OpenSSH 9.7, and the forwarded one may come first."""
    table.connect("00000000:0000", 90, here="0100007F:1F90", state="0A")
    table.connect("08080808:0050", 91, here="0100000A:9C40")
    (table.folder / "10/task/10").mkdir(parents=True)
    (table.folder / "10/task/10/children").write_text("20")
    table.add(20, "/.gl/bin/sshd", 90)
    for number, inode in ((3, 91), (5, 77)):
        (table.folder / "20/fd" / str(number)).symlink_to(f"socket:[{inode}]")
    assert of_children(10) == {20: Connection(("10.0.0.1", 5001), has_spoken=False)}


def test_while_the_kernel_does_not_tell_who_is_connected_nobody_is_let_out_and_nothing_ends() -> None:
    def unknown(far_end: FarEnd) -> list[int]:
        raise OSError

    sessions = Sessions(set, unknown, set, lambda pid, signo: None)
    sessions.note("Accepted publickey for root from 10.0.0.1 port 7 ssh2: ED25519 SHA256:x")
    assert not sessions.end_without_key()


def test_who_has_left_is_not_remembered_for_ever() -> None:
    here = {("10.0.0.1", 7)}
    sessions = Sessions(set, lambda far_end: [], lambda: here, lambda pid, signo: None)
    for port in range(MANY + 2):
        sessions.note(f"Accepted publickey for root from 10.0.0.1 port {port} ssh2: ED25519 SHA256:x")
    assert [port for port in range(MANY + 2) if sessions.has_come_in(("10.0.0.1", port))] == [7, MANY + 1]
