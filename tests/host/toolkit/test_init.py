"""The first process of a container outlives whatever happens in it, and lets out whose key was taken away."""

from __future__ import annotations

import errno
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpulease_host.toolkit import packages
from gpulease_host.toolkit.inside import init
from gpulease_host.toolkit.inside.init import (
    AGAIN_S,
    HALT_ANSWER,
    LOGIN_S,
    LOOK_S,
    Keys,
    Programs,
    Sessions,
    answer_inside,
    fingerprints,
    holders,
    keep_path_at_login,
    stop_grace_s,
    write_environment,
)
from tests.host.fakes import FakeClock

FULL = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
PORTS = {5001: "SHA256:kept", 5002: "SHA256:gone"}


@dataclass
class Starter:
    """A program that can be started once there is room for a process."""

    faults: list[OSError] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        if self.faults:
            raise self.faults.pop()
        self.pids.append(100 + len(self.pids))
        return self.pids[-1]


@pytest.mark.parametrize("name", ["sshd", "onstart"])
def test_what_finds_no_room_for_a_process_is_started_a_second_later(name: str) -> None:
    clock, starter = FakeClock(), Starter([FULL, FULL])
    programs = Programs({name: starter}, clock)
    for _ in range(2):
        programs.start_what_is_due()
        assert starter.pids == []
        clock.sleep(AGAIN_S)
    programs.start_what_is_due()
    programs.start_what_is_due()
    assert starter.pids == [100]


def test_what_dies_is_started_again_a_second_later_even_if_there_is_no_room_at_first() -> None:
    clock, starter = FakeClock(), Starter()
    programs = Programs({"sshd": starter}, clock)
    programs.start_what_is_due()
    starter.faults.append(FULL)
    programs.note_ended(100, -9)
    programs.start_what_is_due()
    assert starter.faults
    for _ in range(2):
        clock.sleep(AGAIN_S)
        programs.start_what_is_due()
    assert starter.pids == [100, 101]


def test_onstart_runs_once_and_what_nobody_knows_is_only_reaped() -> None:
    clock, starter = FakeClock(), Starter()
    programs = Programs({"onstart": starter}, clock)
    programs.start_what_is_due()
    programs.note_ended(100, 0)
    programs.note_ended(7, 0)
    clock.sleep(AGAIN_S)
    programs.start_what_is_due()
    assert starter.pids == [100]


@dataclass
class Far:
    """Connections, one process each, and the keys that may come in."""

    allowed: set[str] | None = field(default_factory=lambda: set(PORTS.values()))
    killed: list[int] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def sessions(self) -> Sessions:
        made = Sessions(lambda: self.allowed, lambda address, port: [port], self.kill)
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
    sessions = Sessions(lambda: far.allowed, lambda address, port: [1], far.kill)
    sessions.note(f"Accepted publickey for root from {far_end} ssh2: ED25519 SHA256:x")
    assert sessions.end_without_key()
    assert far.killed == []


@dataclass
class Table:
    """A stand-in for /proc, with processes that hold sockets."""

    folder: Path

    def connect(self, far_end: str, inode: int) -> None:
        (self.folder / "net").mkdir(exist_ok=True)
        with (self.folder / "net" / "tcp").open("a") as file:
            file.write("heading\n" if file.tell() == 0 else "")
            file.write(f"0: 0100007F:2726 {far_end} 01 0:0 0:0 0 0 0 {inode} 1\n")

    def add(self, pid: int, program: str, inode: int) -> None:
        (self.folder / str(pid) / "fd").mkdir(parents=True)
        (self.folder / str(pid) / "exe").symlink_to(program)
        (self.folder / str(pid) / "fd" / "4").symlink_to(f"socket:[{inode}]")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(init, "PROC", tmp_path)
    made = Table(tmp_path)
    made.connect("0100000A:1389", 77)
    made.connect("0100000A:138A", 78)
    return made


@pytest.mark.parametrize("program", ["sshd", "sshd-session", "sshd-auth"])
def test_a_connection_is_found_whichever_program_of_sshd_holds_it(table: Table, program: str) -> None:
    table.add(20, f"/.gl/bin/{program}", 77)
    table.add(21, f"/.gl/bin/{program}", 78)
    assert list(holders("10.0.0.1", 5001)) == [20]


@pytest.mark.parametrize("program", ["/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/.gl/bin/sshd-other", "/x"])
def test_a_program_of_the_image_is_not_taken_for_sshd(table: Table, program: str) -> None:
    table.add(20, program, 77)
    assert list(holders("10.0.0.1", 5001)) == []


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


def test_no_thread_can_take_an_end_for_itself() -> None:
    """In a process of its own: each thread that is there when it runs has the signals blocked."""
    script = f"""
import pathlib, signal, sys, tempfile
sys.path.insert(0, {str(packages.INSIDE)!r})
import init
init.SSHD_LOG = pathlib.Path(tempfile.mkdtemp()) / "log"
def run(self):
    for task in pathlib.Path("/proc/self/task").iterdir():
        blocked = next(each for each in (task / "status").read_text().splitlines() if each.startswith("SigBlk"))
        print(all(int(blocked.split()[1], 16) >> (signo - 1) & 1 for signo in init.SIGNALS))
init.Init.run = run
init.main()
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True).stdout
    assert told.split() == ["True", "True"]


UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]
FIRST_PROCESS = f"""
import os, signal, subprocess, sys
sys.path.insert(0, {str(packages.INSIDE)!r})
import init
signal.pthread_sigmask(signal.SIG_BLOCK, init.SIGNALS)
assert os.getpid() == 1
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print("ready", flush=True)
while True:
    told = signal.sigwaitinfo(init.STOPS | init.HALTS)
    print(signal.Signals(told.si_signo).name, init.is_from_outside(told), flush=True)
    if init.is_from_outside(told):
        break
"""
SENDERS = {
    "kill": "os.kill(1, signal.SIGTERM)",
    "halt": "os.kill(1, signal.SIGUSR1)",
    "tgkill": "libc.syscall(234, 1, 1, 15)",
    "a signal that says it is from outside": "libc.syscall(129, 1, 15, (ctypes.c_int * 32)(15, 0, -1, 0, 0))",
}


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
def test_first_process_tells_signals_of_its_own_namespace_from_those_of_outside(sender: str) -> None:
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs a PID namespace")
    script = f"import os, signal, ctypes; libc = ctypes.CDLL(None); {sender}"
    command = [*UNSHARE, sys.executable, "-c", FIRST_PROCESS, script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline().split()[1] == "False"
        (inside,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(inside), signal.SIGINT)
        assert process.stdout.readline() == "SIGINT True\n"


def test_whoever_asks_from_inside_is_answered_on_every_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    (tmp_path / "0").symlink_to(os.ttyname(theirs))
    (tmp_path / "1").mkdir()
    told = signal.struct_siginfo((signal.SIGTERM, 0, 0, 7, 0, 0, 0))
    answer_inside(told, tmp_path)
    assert HALT_ANSWER in os.read(ours, 1000).decode()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(("written", "seconds"), [("25", 25), (None, 10), ("soon", 10)])
def test_stop_grace_is_what_the_host_says(tmp_path: Path, written: str | None, seconds: int) -> None:
    path = tmp_path / "stop_grace_s"
    if written is not None:
        path.write_text(written)
    assert stop_grace_s(path) == seconds


DEBIAN_PROFILE = 'PATH="/usr/bin:/bin"\nexport PATH\nfor i in {part}/*.sh; do . "$i"; done\n'


def _login_path(profile: Path, path: str) -> str:
    script = f". {profile}; echo $PATH"
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_login_shells_keep_the_path_of_the_image(tmp_path: Path) -> None:
    profile, part = tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh"
    profile.write_text(DEBIAN_PROFILE.format(part=part.parent))
    for _ in range(2):
        keep_path_at_login("/opt/it's/bin:/usr/bin", profile, part)
        assert _login_path(profile, "/bin") == "/opt/it's/bin:/usr/bin:/usr/bin:/bin"
    assert profile.read_text() == DEBIAN_PROFILE.format(part=part.parent)


def test_a_path_that_login_shells_have_already_stays_as_it_is(tmp_path: Path) -> None:
    profile, part = tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh"
    profile.write_text(f". {part}\n")
    keep_path_at_login("/opt/bin", profile, part)
    assert _login_path(profile, "/x:/opt/bin:/bin") == "/x:/opt/bin:/bin"


def test_an_image_without_a_profile_is_left_as_it_is(tmp_path: Path) -> None:
    keep_path_at_login("/opt/bin", tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["fifo", "folder", "file in place of the folder"])
def test_whatever_an_image_has_in_place_of_the_profile_holds_nothing_up(tmp_path: Path, obstacle: str) -> None:
    profile, part = tmp_path / "profile", tmp_path / "profile.d" / "zz-gpulease.sh"
    os.mkfifo(profile)
    if obstacle == "fifo":
        part.parent.mkdir()
        os.mkfifo(part)
    elif obstacle == "folder":
        part.mkdir(parents=True)
    else:
        part.parent.touch()
    keep_path_at_login("/opt/bin", profile, part)
    assert part.is_file() == (obstacle == "fifo")


def test_sessions_find_the_answer_to_reboot_before_the_program_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "RUN", tmp_path)
    write_environment({"HOME": str(tmp_path), "PATH": "/image/bin"}, "/bin/sh")
    assert "export PATH=/.gl/power:/image/bin:/.gl/bin\n" in (tmp_path / "environment.sh").read_text()
