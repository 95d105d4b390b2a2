"""Running a script: its own process group, a deadline, and an end on request.

The waiting is on file descriptors (the process and the cancel flag), so an end is noticed at once and costs nothing.
"""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_STDOUT_CHARS = 24_000
MAX_STDERR_CHARS = 8_000
TRUNCATED = "--output truncated--"
STOPPED_CODE = 137


class CancelFlag:
    """A flag that a waiting thread wakes up on."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self.is_set = False

    def set(self) -> None:
        """Raise the flag, once and for all."""
        self.is_set = True
        self._writer.close()

    def fileno(self) -> int:
        """Become readable when the flag is raised."""
        return self._reader.fileno()

    def close(self) -> None:
        """Give the descriptors back."""
        self._reader.close()
        self._writer.close()


@dataclass(frozen=True)
class ScriptResult:
    """How a script ended: a status as the real agent words it, and what it wrote."""

    status: str
    code: int
    stdout: str
    stderr: str


def run_script(
    lines: tuple[str, ...],
    folder: Path,
    *,
    timeout_s: float,
    environment: Mapping[str, str],
    working_dir: str,
    cancel: CancelFlag,
) -> ScriptResult:
    """Write the lines to a file, run it with sh, and tell how it ended."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    script = folder / "_script.sh"
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o700)
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        try:
            process = subprocess.Popen(
                ["sh", str(script)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=working_dir or "/",
                env=dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            return ScriptResult("Failed", 1, "", f"failed to run commands: {error}")
        stopped = _wait(process, timeout_s, cancel)
    return _result(process.returncode, folder, stopped=stopped, cancelled=cancel.is_set)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, cancel: CancelFlag) -> bool:
    """Wait for the end; kill the whole group on the deadline or on request. True if it was killed."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(cancel.fileno(), select.POLLIN | select.POLLHUP)
        ready = {fd for fd, _ in poll.poll(timeout_s * 1000)}
        if descriptor in ready:
            process.wait()
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    finally:
        os.close(descriptor)


def _result(returncode: int, folder: Path, *, stopped: bool, cancelled: bool) -> ScriptResult:
    stdout = _read_start(folder / "stdout", MAX_STDOUT_CHARS)
    stderr = _read_start(folder / "stderr", MAX_STDERR_CHARS)
    if stopped or returncode == STOPPED_CODE:
        return ScriptResult("Cancelled" if cancelled else "TimedOut", STOPPED_CODE, stdout, stderr)
    if returncode == 0:
        return ScriptResult("Success", 0, stdout, stderr)
    ending = f"exit status {returncode}" if returncode > 0 else f"signal: {signal.Signals(-returncode).name}"
    sentence = f"failed to run commands: {ending}"
    return ScriptResult(
        "Failed", returncode if returncode > 0 else -1, stdout, _cut(stderr + sentence, MAX_STDERR_CHARS)
    )


def _read_start(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        return _cut(file.read(4 * limit).decode(errors="replace"), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) < limit else text[: limit - len(TRUNCATED)] + TRUNCATED
