"""Starts and stops the processes of the local set-up, and never one that it did not start.

A pid file holds the pid and the moment the kernel started that process, so a recycled pid is not taken for
ours. A process that died by itself, or by kill -9, leaves a pid file that says nothing and is replaced.

    start_cloud(state, front_port, assembly)   the local cloud, serving when this returns
    stop_cloud(state)                          its end; True when there was one
    start(…), stop(…), running(…)              the same for any other program (agent, host daemon)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.cloud.settings import CloudInfo, read_info
from local.sources import fingerprint

START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 30.0
"""Both only guard against waiting for ever."""
POLL_S = 0.02
LOG_TAIL_BYTES = 3000
LOG_KEPT_BYTES = 5_000_000
ROOT = Path(__file__).resolve().parents[1]
# What the cloud's process is made of: its own modules, and the emulator's pinned version.
CLOUD_SOURCES = ("local", "constraints.txt")


class ProcessError(Exception):
    """A process could not be started, or ended too early; the sentence holds the end of its log."""


@dataclass(frozen=True)
class Process:
    """One process of ours that is alive."""

    name: str
    pid: int
    log: Path
    code: str
    """What it was started from, as its starter names it."""


def start(
    name: str,
    command: Sequence[str],
    *,
    state: Path,
    env: Mapping[str, str] | None = None,
    code: str = "",
    working_directory: Path = ROOT,
) -> Process:
    """Start a program in the background, with its log and pid file in the state folder.

    One that runs already is returned as it is, unless it was started from other code: then it is replaced.
    """
    current = running(name, state=state)
    if current is not None and current.code == code:
        return current
    stop(name, state=state)
    state.mkdir(parents=True, exist_ok=True)
    log = _log_path(name, state)
    _rotate(log)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=working_directory,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN[child.pid] = child
    record = {"pid": child.pid, "started": _started(child.pid), "code": code}
    _pid_path(name, state).write_text(json.dumps(record) + "\n")
    return Process(name, child.pid, log, code)


def running(name: str, *, state: Path) -> Process | None:
    """The process that the pid file names, while it is alive and still the one we started."""
    path = _pid_path(name, state)
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    started = _started(record["pid"])
    if started is None or started != record["started"]:
        return None
    return Process(name, record["pid"], _log_path(name, state), record.get("code", ""))


def stop(name: str, *, state: Path, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """End it, politely first; True when it was running."""
    process = running(name, state=state)
    if process is None:
        _pid_path(name, state).unlink(missing_ok=True)
        return False
    for number, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, STOP_TIMEOUT_S)):
        _signal(process.pid, number)
        if _wait_until_gone(name, state, patience_s):
            _pid_path(name, state).unlink(missing_ok=True)
            return True
    raise ProcessError(f"{name} (pid {process.pid}) does not end, though it was killed: it hangs in the kernel.")


def start_cloud(state: Path, front_port: int, assembly: Path, *, timeout_s: float = START_TIMEOUT_S) -> CloudInfo:
    """Bring a local cloud up over whatever the last one left; it serves when this returns.

    One that runs already keeps the templates that it has; `local.bring_up` deploys over it.
    """
    state = state.resolve()
    command = [sys.executable, "-m", "local.cloud", "--state-dir", str(state), "--front-port", str(front_port)]
    command += ["--assembly", str(assembly)]
    process = start("cloud", command, state=state, code=fingerprint(ROOT, CLOUD_SOURCES))
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        info = read_info(state)
        if info is not None and info.pid == process.pid:
            return info
        if running("cloud", state=state) is None:
            raise ProcessError(_why(process.log))
        time.sleep(POLL_S)
    stop_cloud(state)
    raise ProcessError(f"The local cloud did not start in {timeout_s:.0f} s.\n{log_tail(process.log)}")


def stop_cloud(state: Path) -> bool:
    """End the local cloud of this state folder; True when it was running."""
    return stop("cloud", state=state)


def log_tail(log: Path) -> str:
    """The end of a log, for a message."""
    if not log.exists():
        return ""
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()


def _why(log: Path) -> str:
    """The cloud's own last words when it had any, else the end of its log."""
    tail = log_tail(log)
    errors = [line.partition("] ")[2] for line in tail.splitlines() if " ERROR [gpulease.cloud] " in line]
    return errors[-1] if errors else f"The local cloud did not start.\n{tail}"


# Children of this very process stay zombies until asked for; others are the init process's care.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def _started(pid: int) -> int | None:
    """When the kernel started the process, in clock ticks since boot; None when it is gone or a zombie.

    One whose first thread has ended while others have not still has its files, and their locks: it is not gone.
    """
    child = _CHILDREN.get(pid)
    if child is not None and child.poll() is not None:
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    has_ended = fields[0] in {"Z", "X"} and int(fields[17]) <= 1
    return None if has_ended else int(fields[19])


def _wait_until_gone(name: str, state: Path, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while running(name, state=state) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _pid_path(name: str, state: Path) -> Path:
    return state / f"{name}.pid"


def _log_path(name: str, state: Path) -> Path:
    return state / f"{name}.log"


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
