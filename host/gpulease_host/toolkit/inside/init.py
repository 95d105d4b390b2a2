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
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

RUN = Path("/.gl-run")
OWN = Path("/.gl-own")
PROC = Path("/proc")
KEYS = OWN / "authorized_keys"
SSHD = "/.gl/bin/sshd"
SSHD_PROGRAMS = {SSHD, f"{SSHD}-session", f"{SSHD}-auth"}
"""A connection's: up to OpenSSH 9.7 all of it is sshd's own."""
KEYGEN = "/.gl/bin/ssh-keygen"
SSHD_LOG = RUN / "sshd.log"
PYTHON = "/.gl/python/bin/python3"
WITHIN = "/.gl/bin/within"
TOOLKIT_SHELL = "/.gl/bin/sh"
SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh")
ONSTART = "onstart"
AGAIN_S = 1.0
LOOK_S = 1.0
"""How soon a key that was taken away is noticed."""
LOGIN_S = 40.0
"""Whoever had begun to come in before that may still be let in: longer than `LoginGraceTime` of `sshd_config`."""
KEYGEN_S = 5.0
STOP_GRACE = OWN / "stop_grace_s"
STOP_GRACE_S = 10
"""Where the host has not said how long Docker waits."""
EXIT_S = 2
"""Of that, for this process itself to end."""
# What a session has of its own, and what is of no use in one.
NOT_FOR_SESSIONS = {"HOME", "PATH", "SHELL", "USER", "LOGNAME", "TERM", "PWD", "OLDPWD", "SHLVL", "_"}
OURS = "OPENSSL_CONF JUPYTER_RUNTIME_DIR JUPYTER_NO_CONFIG"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ADDRESS = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
ACCEPTED = re.compile(rf"Accepted publickey for root from ({ADDRESS}) port ([0-9]{{1,5}}) ssh2: \S+ (SHA256:\S+)")
STOPS = {signal.SIGTERM, signal.SIGINT}
HALTS = {signal.SIGUSR1, signal.SIGUSR2}
"""What busybox's halt and poweroff send to the first process; its reboot sends SIGTERM."""
SIGNALS = {signal.SIGCHLD, *STOPS, *HALTS}
SI_USER = 0
"""How the kernel marks what `kill` has sent: who writes a sender of their own into a signal cannot use it."""
TERMINALS = Path("/dev/pts")
POWER = "/.gl/power"
"""`reboot` and its kin, which say what to do instead."""
HALT_ANSWER = "This instance is not ended from inside: stop, reboot or end it with the API."
ANSWER_S = 0.1
"""Between two answers: whoever asks without end must not fill the log."""
PROFILE = Path("/etc/profile")
PROFILE_PART = Path("/etc/profile.d/zz-gpulease.sh")


def say(text: str) -> None:
    with suppress(OSError):  # nobody may be there to hear it
        print(f"gpulease: {text}", file=sys.stderr, flush=True)


def given_environment() -> dict[str, str]:
    """What Docker gave the container: the image's variables and the contract's."""
    texts = os.fsdecode((RUN / "environ").read_bytes()).split("\0")
    return dict(text.split("=", 1) for text in texts if "=" in text)


def working_shell() -> str:
    """The image's own, if it runs."""
    for shell in SHELLS:
        if os.access(shell, os.X_OK):
            try:
                if subprocess.run([shell, "-c", ":"], capture_output=True, timeout=5, check=False).returncode == 0:
                    return shell
            except (OSError, subprocess.TimeoutExpired):
                continue
    return TOOLKIT_SHELL


def write_environment(given: Mapping[str, str], shell: str) -> None:
    """For sessions, to be read by any shell. What no shell can name stays out."""
    home = given.get("HOME", "")
    fixed = {
        "HOME": "/root" if home in ("", "/") else home,
        "PATH": ":".join(filter(None, [POWER, given.get("PATH"), "/.gl/bin"])),
        "SHELL": shell,
        "USER": "root",
        "LOGNAME": "root",
    }
    theirs = {name: value for name, value in given.items() if NAME.fullmatch(name) and name not in NOT_FOR_SESSIONS}
    lines = [f"unset {OURS}", *(f"export {name}={shlex.quote(value)}" for name, value in {**theirs, **fixed}.items())]
    (RUN / "environment.sh").write_bytes(os.fsencode("\n".join(lines) + "\n"))
    for folder in (Path(fixed["HOME"]), Path("/root")):
        with suppress(OSError):  # sshd and shells do without, from /
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def keep_path_at_login(path: str, profile: Path = PROFILE, part: Path = PROFILE_PART) -> None:
    """Login shells begin with the PATH of /etc/profile, so the image's own is put in front of that.

    Made anew, since what the image has there may be anything. Where it cannot be written, login shells do without.
    """
    text = f'p={shlex.quote(path)}\ncase ":$PATH:" in *":$p:"*) ;; *) PATH="$p:$PATH"; export PATH ;; esac\nunset p\n'
    if not profile.exists():
        return
    with suppress(OSError):
        part.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)


class Sessions:
    """Who came in by which key is in sshd's own words; it is needed when a key is taken away."""

    def __init__(
        self,
        allowed: Callable[[], set[str] | None],
        holders: Callable[[str, int], Iterable[int]],
        kill: Callable[[int, int], None],
    ) -> None:
        self._allowed = allowed
        self._holders = holders
        self._kill = kill
        self._came: dict[tuple[str, int], str] = {}

    def note(self, line: str) -> None:
        match = ACCEPTED.fullmatch(line)
        if match:
            self._came[(match.group(1), int(match.group(2)))] = match.group(3)

    def end_without_key(self) -> bool:
        """End every connection that came in by a key which is no longer there; whether that could be told."""
        allowed = self._allowed()
        if allowed is None:
            return False
        for (address, port), fingerprint in list(self._came.items()):
            pids = list(self._holders(address, port))
            if pids and fingerprint in allowed:
                continue
            del self._came[(address, port)]
            for pid in pids:
                say(f"the key {fingerprint} was taken away; its session ends")
                with suppress(ProcessLookupError):  # it has just ended by itself
                    self._kill(pid, signal.SIGTERM)
        return True


class Keys:
    """When to look for sessions whose key is gone: with each change and for a while after, until it could be told."""

    def __init__(self, path: Path, end_without_key: Callable[[], bool], elapsed: Callable[[], float]) -> None:
        self._path = path
        self._end_without_key = end_without_key
        self._elapsed = elapsed
        self._seen: tuple[int, int] | None = None
        self._until = self._next = float("-inf")
        self._told = True

    def look(self) -> None:
        now = self._elapsed()
        try:
            status = self._path.stat()
        except OSError:
            return
        seen = (status.st_ino, status.st_mtime_ns)
        if self._seen is not None and seen != self._seen:
            self._until, self._next = now + LOGIN_S, now
        self._seen = seen
        if now >= self._next and (now < self._until or not self._told):
            self._next = now + LOOK_S
            self._told = self._end_without_key()


class Sshd:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        # Through a pipe of its own: sshd's standard error becomes that of whoever comes in.
        os.mkfifo(SSHD_LOG, 0o600)
        self._log = os.open(SSHD_LOG, os.O_RDWR | os.O_CLOEXEC)
        threading.Thread(target=self._follow, daemon=True).start()

    def start(self) -> int:
        return spawn([SSHD, "-D", "-E", str(SSHD_LOG), "-f", "/.gl/inside/sshd_config"])

    def _follow(self) -> None:
        for raw in os.fdopen(self._log, "rb", closefd=False):
            line = raw.decode("utf-8", "replace").rstrip()
            self._sessions.note(line)
            say(f"sshd: {line}")


def holders(address: str, port: int) -> Iterator[int]:
    """The sshd processes that hold the connection with this far end."""
    packed = "".join(f"{int(each):02X}" for each in reversed(address.split(".")))
    rows = [line.split() for line in (PROC / "net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2] == f"{packed}:{port:04X}"}
    for process in PROC.iterdir():
        try:
            if process.name.isdigit() and runs_sshd(process) and sockets & open_files(process):
                yield int(process.name)
        except OSError:
            continue


def runs_sshd(process: Path) -> bool:
    return str((process / "exe").readlink()) in SSHD_PROGRAMS


def open_files(process: Path) -> set[str]:
    return {str(each.readlink()) for each in (process / "fd").iterdir()}


def fingerprints(keygen: str = KEYGEN, keys: Path = KEYS) -> set[str] | None:
    """Of the keys that may come in now; None where that cannot be told, as with no process left to ask."""
    try:
        done = subprocess.run(
            [keygen, "-l", "-f", str(keys)], capture_output=True, text=True, timeout=KEYGEN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return {line.split()[1] for line in done.stdout.splitlines() if len(line.split()) > 1}


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
        self._sessions = Sessions(fingerprints, holders, os.kill)
        self._sshd = Sshd(self._sessions)
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
            told = signal.sigtimedwait(SIGNALS, LOOK_S)
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
