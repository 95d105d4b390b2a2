"""The first process of a container in mode ssh or jupyter: starts what lets people in, and reaps.

Runs under the toolkit's Python with the standard library only. What is said here is in the container's log.

    sshd, JupyterLab    started again a second after they die, or could not be started
    onstart             once, by the image's own shell
    SIGTERM, SIGINT     from outside its PID namespace: passed on to all; the container ends when the last one has, or
                        when Docker loses patience. From inside, as `reboot` and `kill 1` send them: answered

Its end is the container's, so nothing that a full machine or the people inside do to it may end it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from . import connections
from .connections import SSHD, Connection
from .environment import given_environment, keep_path_at_login, working_shell, write_environment
from .places import OWN, PROC, RUN, say
from .sessions import KEYS, Keys, Sessions, fingerprints
from .strangers import FEW, Strangers

SSHD_LOG = RUN / "sshd.log"
PYTHON = "/.gl/python/bin/python3"
WITHIN = "/.gl/bin/within"
ONSTART = "onstart"
AGAIN_S = 1.0
STOP_GRACE = OWN / "stop_grace_s"
STOP_GRACE_S = 10
"""Where the host has not said how long Docker waits."""
EXIT_S = 2
"""Of that, for this process itself to end."""
STOPS = {signal.SIGTERM, signal.SIGINT}
HALTS = {signal.SIGUSR1, signal.SIGUSR2}
"""What busybox's halt and poweroff send to the first process; its reboot sends SIGTERM."""
SIGNALS = {signal.SIGCHLD, *STOPS, *HALTS}
SI_USER = 0
"""How the kernel marks what `kill` has sent: who writes a sender of their own into a signal cannot use it."""
TERMINALS = Path("/dev/pts")
HALT_ANSWER = "This instance is not ended from inside: stop, reboot or end it with the API."
ANSWER_S = 0.1
"""Between two answers: whoever asks without end must not fill the log."""


class Sshd:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._pid: int | None = None
        # Through a pipe of its own: sshd's standard error becomes that of whoever comes in.
        os.mkfifo(SSHD_LOG, 0o600)
        self._log = os.open(SSHD_LOG, os.O_RDWR | os.O_CLOEXEC)
        threading.Thread(target=self._follow, daemon=True).start()

    def start(self) -> int:
        self._pid = spawn([SSHD, "-D", "-E", str(SSHD_LOG), "-f", "/.gl/inside/sshd_config"])
        return self._pid

    def connections(self) -> Mapping[int, Connection]:
        """Nothing while there are few: looking at each costs something. Raises OSError."""
        few = self._pid is None or len(connections.children(self._pid)) <= FEW
        return {} if few or self._pid is None else connections.of_children(self._pid)

    def _follow(self) -> None:
        for raw in os.fdopen(self._log, "rb", closefd=False):
            line = raw.decode("utf-8", "replace").rstrip()
            self._sessions.note(line)
            say(f"sshd: {line}")


def start_jupyter() -> int:
    own = {"JUPYTER_RUNTIME_DIR": str(RUN / "jupyter"), "JUPYTER_NO_CONFIG": "1"}
    return spawn([PYTHON, "-I", "/.gl/inside/jupyter_main.py"], **own)


def spawn(command: list[str], **own: str) -> int:
    """With no signals blocked. Not by `subprocess`, which would take a child's end away from `_ended`."""
    nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    environment = {**os.environ, **own}
    return os.posix_spawn(command[0], command, environment, file_actions=nothing, setsigmask=(), setsid=True)


class Programs:
    """What this process starts, by its name; all but `onstart` is started again."""

    def __init__(self, starters: Mapping[str, Callable[[], int]], elapsed: Callable[[], float]) -> None:
        self._starters = starters
        self._elapsed = elapsed
        self._running: dict[int, str] = {}
        self._due: dict[str, float] = dict.fromkeys(starters, float("-inf"))

    def start_what_is_due(self) -> None:
        for name, at in list(self._due.items()):
            if self._elapsed() >= at:
                self._start(name)

    def note_ended(self, pid: int, code: int) -> None:
        name = self._running.pop(pid, None)
        if name == ONSTART:
            say(f"{name} ended with {code}")
            with suppress(OSError):
                (RUN / "onstart_exit_code").write_text(str(code))
        elif name is not None:
            say(f"{name} ended with {code} and is started again")
            self._due[name] = self._elapsed() + AGAIN_S

    def _start(self, name: str) -> None:
        try:
            pid = self._starters[name]()
        except OSError as error:
            say(f"{name} could not be started and is tried again: {error}")
            self._due[name] = self._elapsed() + AGAIN_S
        else:
            del self._due[name]
            self._running[pid] = name


def is_from_outside(told: signal.struct_siginfo) -> bool:
    """Whether nobody in this PID namespace has sent it: a sender from outside has no number here."""
    return told.si_code == SI_USER and told.si_pid == 0


def answer_inside(told: signal.struct_siginfo, terminals: Path = TERMINALS) -> None:
    """To the log, and to every terminal: who has sent it may look at any of them, and has often ended by now."""
    say(f"process {told.si_pid} sent {signal.Signals(told.si_signo).name} to the first process. {HALT_ANSWER}")
    for terminal in terminals.glob("[0-9]*"):
        with suppress(OSError):
            file = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                os.write(file, f"\r\ngpulease: {HALT_ANSWER}\r\n".encode())
            finally:
                os.close(file)


def stop_grace_s(path: Path = STOP_GRACE) -> int:
    """How long Docker waits after it has sent the signal. Read when it comes: the host may have changed it."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return STOP_GRACE_S


class Init:
    def __init__(self) -> None:
        self._sessions = Sessions(fingerprints, connections.holders, connections.connected, os.kill)
        self._sshd = Sshd(self._sessions)
        self._strangers = Strangers(
            self._sshd.connections,
            self._sessions.has_come_in,
            lambda pid: os.killpg(pid, signal.SIGTERM),  # a connection has a group of its own, with both its processes
            time.monotonic,
        )
        self._keys = Keys(KEYS, self._sessions.end_without_key, time.monotonic)
        self._answered_at = float("-inf")

    def run(self) -> None:
        shell, given = working_shell(), given_environment()
        write_environment(given, shell)
        if given.get("PATH"):
            keep_path_at_login(given["PATH"])
        with suppress(OSError):
            os.chdir("/root")
        programs = Programs(self._starters(shell), time.monotonic)
        while True:
            programs.start_what_is_due()
            self._keys.look()
            told = signal.sigtimedwait(SIGNALS, self._strangers.look())
            if told is not None and told.si_signo != signal.SIGCHLD:
                self._take(told)
            for pid, code in _ended():
                programs.note_ended(pid, code)

    def _starters(self, shell: str) -> dict[str, Callable[[], int]]:
        starters: dict[str, Callable[[], int]] = {"sshd": self._sshd.start}
        if (OWN / "mode").read_text() == "jupyter":
            starters["jupyter"] = start_jupyter
        if (OWN / ONSTART).exists():
            starters[ONSTART] = lambda: spawn([WITHIN, shell, str(OWN / ONSTART)])
        return starters

    def _take(self, told: signal.struct_siginfo) -> None:
        if not is_from_outside(told):
            if time.monotonic() - self._answered_at >= ANSWER_S:
                self._answered_at = time.monotonic()
                answer_inside(told)
        elif told.si_signo in STOPS:
            self._end(told.si_signo)

    def _end(self, signo: int) -> None:
        """Everyone is told, and has a while. The exit code says that it did not end by itself."""
        until = time.monotonic() + max(1, stop_grace_s() - EXIT_S)
        with suppress(ProcessLookupError):
            os.kill(-1, signo)
        while time.monotonic() < until:
            list(_ended())
            if not any(each.name.isdigit() and each.name != "1" for each in PROC.iterdir()):
                break
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
        sys.exit(128 + signo)


def _ended() -> Iterator[tuple[int, int]]:
    """Every process that has ended, also those that lost their parent."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # before any thread begins, which could take them for itself
    Init().run()


if __name__ == "__main__":
    main()
