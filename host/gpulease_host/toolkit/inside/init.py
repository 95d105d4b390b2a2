"""The first process of a container in mode ssh or jupyter: starts what lets people in, and reaps.

Runs under the toolkit's Python with the standard library only. What is said here is in the container's log.

    sshd, JupyterLab    started again a second after they die
    onstart             once, by the image's own shell
    SIGTERM             passed on to all; the container ends when the last one has, or Docker's patience
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

RUN = Path("/.gl-run")
OWN = Path("/.gl-own")
PROC = Path("/proc")
KEYS = OWN / "authorized_keys"
SSHD = "/.gl/bin/sshd"
SSHD_LOG = RUN / "sshd.log"
PYTHON = "/.gl/python/bin/python3"
WITHIN = "/.gl/bin/within"
TOOLKIT_SHELL = "/.gl/bin/sh"
SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh")
AGAIN_S = 1.0
LOOK_S = 1.0
"""How soon a key that was taken away is noticed."""
END_WAIT_S = 8.0
# What a session has of its own, and what is of no use in one.
NOT_FOR_SESSIONS = {"HOME", "PATH", "SHELL", "USER", "LOGNAME", "TERM", "PWD", "OLDPWD", "SHLVL", "_"}
OURS = "OPENSSL_CONF JUPYTER_RUNTIME_DIR JUPYTER_NO_CONFIG"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ACCEPTED = re.compile(r"Accepted publickey for root from (\S+) port (\d+) ssh2: \S+ (SHA256:\S+)")
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


def say(text: str) -> None:
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
        "PATH": ":".join(filter(None, [given.get("PATH"), "/.gl/bin"])),
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


class Sshd:
    """Who came in by which key is in sshd's own words; it is needed when a key is taken away."""

    def __init__(self) -> None:
        self._came: dict[tuple[str, int], str] = {}
        # Through a pipe of its own: sshd's standard error becomes that of whoever comes in.
        os.mkfifo(SSHD_LOG, 0o600)
        self._log = os.open(SSHD_LOG, os.O_RDWR | os.O_CLOEXEC)
        threading.Thread(target=self._follow, daemon=True).start()

    def start(self) -> int:
        return spawn([SSHD, "-D", "-E", str(SSHD_LOG), "-f", "/.gl/inside/sshd_config"])

    def end_sessions_without_key(self) -> None:
        """End every connection that came in by a key which is no longer there."""
        allowed = fingerprints()
        for (address, port), fingerprint in list(self._came.items()):
            pids = list(holders(address, port))
            if pids and fingerprint in allowed:
                continue
            del self._came[(address, port)]
            for pid in pids:
                say(f"the key {fingerprint} was taken away; its session ends")
                os.kill(pid, signal.SIGTERM)

    def _follow(self) -> None:
        for raw in os.fdopen(self._log, "rb", closefd=False):
            line = raw.decode("utf-8", "replace").rstrip()
            match = ACCEPTED.fullmatch(line)
            if match:
                self._came[(match.group(1), int(match.group(2)))] = match.group(3)
            say(f"sshd: {line}")


def holders(address: str, port: int) -> Iterator[int]:
    """The sshd processes that hold the connection with this far end."""
    packed = "".join(f"{int(each):02X}" for each in reversed(address.split(".")))
    rows = [line.split() for line in (PROC / "net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2] == f"{packed}:{port:04X}"}
    for process in PROC.iterdir():
        try:
            if process.name.isdigit() and str((process / "exe").readlink()) == SSHD and sockets & open_files(process):
                yield int(process.name)
        except OSError:
            continue


def open_files(process: Path) -> set[str]:
    return {str(each.readlink()) for each in (process / "fd").iterdir()}


def fingerprints() -> set[str]:
    """Of the keys that may come in now."""
    command = ["/.gl/bin/ssh-keygen", "-l", "-f", str(KEYS)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {line.split()[1] for line in listed.splitlines() if len(line.split()) > 1}


def start_jupyter() -> int:
    own = {"JUPYTER_RUNTIME_DIR": str(RUN / "jupyter"), "JUPYTER_NO_CONFIG": "1"}
    return spawn([PYTHON, "-I", "/.gl/inside/jupyter_main.py"], **own)


def spawn(command: list[str], **own: str) -> int:
    """With no signals blocked. Not by `subprocess`, which would take a child's end away from `_ended`."""
    nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    environment = {**os.environ, **own}
    return os.posix_spawn(command[0], command, environment, file_actions=nothing, setsigmask=(), setsid=True)


class Init:
    def __init__(self) -> None:
        self._sshd = Sshd()
        self._starters: dict[str, Callable[[], int]] = {"sshd": self._sshd.start}
        self._running: dict[int, str] = {}
        self._due: dict[str, float] = {}
        self._onstart: int | None = None
        self._keys_seen: tuple[int, int] | None = None

    def run(self) -> None:
        shell = working_shell()
        write_environment(given_environment(), shell)
        with suppress(OSError):
            os.chdir("/root")
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if (OWN / "mode").read_text() == "jupyter":
            self._starters["jupyter"] = start_jupyter
        for name in self._starters:
            self._start(name)
        self._start_onstart(shell)
        while True:
            self._look_at_keys()
            told = signal.sigtimedwait(SIGNALS, LOOK_S)
            if told is not None and told.si_signo != signal.SIGCHLD:
                self._end(told.si_signo)
            self._reap()
            self._start_what_died()

    def _start(self, name: str) -> None:
        self._running[self._starters[name]()] = name

    def _start_onstart(self, shell: str) -> None:
        if (OWN / "onstart").exists():
            self._onstart = spawn([WITHIN, shell, str(OWN / "onstart")])

    def _reap(self) -> None:
        for pid, code in _ended():
            if pid == self._onstart:
                say(f"onstart ended with {code}")
            name = self._running.pop(pid, None)
            if name is not None:
                say(f"{name} ended with {code} and is started again")
                self._due[name] = time.monotonic() + AGAIN_S

    def _start_what_died(self) -> None:
        for name, at in list(self._due.items()):
            if time.monotonic() >= at:
                del self._due[name]
                self._start(name)

    def _look_at_keys(self) -> None:
        status = KEYS.stat()
        seen = (status.st_ino, status.st_mtime_ns)
        if self._keys_seen is not None and seen != self._keys_seen:
            self._sshd.end_sessions_without_key()
        self._keys_seen = seen

    def _end(self, signo: int) -> None:
        """Everyone is told, and has a while."""
        try:
            os.kill(-1, signo)
        except ProcessLookupError:
            sys.exit(0)
        until = time.monotonic() + END_WAIT_S
        while time.monotonic() < until:
            list(_ended())
            if not any(each.name.isdigit() and each.name != "1" for each in PROC.iterdir()):
                break
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
        sys.exit(0)


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


if __name__ == "__main__":
    Init().run()
