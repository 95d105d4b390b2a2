"""The first process of a container outlives whatever happens in it."""

from __future__ import annotations

import errno
import os
import pty
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpulease_host.toolkit import packages
from gpulease_host.toolkit.inside.init import (
    AGAIN_S,
    HALT_ANSWER,
    Programs,
    answer_inside,
    stop_grace_s,
)
from tests.host.fakes import FakeClock

FULL = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


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


def test_no_thread_can_take_an_end_for_itself() -> None:
    """In a process of its own: each thread that is there when it runs has the signals blocked."""
    script = f"""
import pathlib, signal, sys, tempfile
sys.path.insert(0, {str(packages.INSIDE.parent)!r})
from inside import init
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
sys.path.insert(0, {str(packages.INSIDE.parent)!r})
from inside import init
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
