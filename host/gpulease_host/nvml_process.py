"""The process that reads NVML, kept for as long as all is well: its answer, or a GpuDriverError.

Nobody's duty waits for a driver that hangs: who asks first waits some seconds, who asks meanwhile not at all, and after
half a minute the process is given up. What is wrong may be what it has loaded, so one that tells of a fault is
replaced, at most twice a minute. One that does not even end when it is killed, because the kernel holds it, is waited
for: there is never a second beside it.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpulease_host.engine import EngineError

WAIT_S = 3.0
GIVE_UP_S = 30.0
"""A driver that nobody keeps open begins each GPU anew, which takes seconds for each."""
AGAIN_S = 30.0
ENDS_WITHIN_S = 1.0
NO_ANSWER = "NVIDIA's driver does not answer"
NOT_YET = f"{NO_ANSWER} yet. Wait half a minute."
HANGS = f"{NO_ANSWER}: it hangs; reboot this machine"
CRASHED = f"{NO_ANSWER}: its library crashed; install it again, and reboot this machine"
STUCK = f"{NO_ANSWER}: it does not let go of who asked it; reboot this machine"
COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("nvml_reader.py")))


class GpuDriverError(EngineError):
    """NVIDIA's driver does not answer."""

    code = "gpu_driver_error"


class NvmlProcess:
    """`wait_s`: how long who asks first waits."""

    def __init__(
        self,
        wait_s: float = WAIT_S,
        elapsed: Callable[[], float] = time.monotonic,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._wait_s = wait_s
        self._elapsed = elapsed
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._former: subprocess.Popen[str] | None = None
        self._begun_at = self._rest_until = float("-inf")
        self._asked_at: float | None = None
        """While it owes an answer."""
        self._fault = STUCK
        """Of the last one that was given up."""

    def ask(self) -> dict[str, Any]:
        """Raises GpuDriverError."""
        with self._lock:
            process = self._process or self._begin()
            if self._asked_at is not None:
                self._answer(process, 0.0)  # of then: it is asked again
            self._send(process)
            found = self._answer(process, self._wait_s)
            if is_faulty(found) and self._elapsed() - self._begun_at >= AGAIN_S:
                self._end()
            return found

    def close(self) -> None:
        with self._lock:
            self._end()

    def _begin(self) -> subprocess.Popen[str]:
        if self._elapsed() < self._rest_until:
            raise GpuDriverError(self._fault)
        if self._former is not None and not _has_ended(self._former):
            raise self._failed(STUCK)
        self._begun_at, self._asked_at = self._elapsed(), None
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except OSError as error:  # no memory, or too many processes
            raise self._failed(CRASHED) from error
        return self._process

    def _send(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        self._asked_at = self._elapsed()
        try:
            process.stdin.write("look\n")
            process.stdin.flush()
        except OSError as error:
            raise self._failed(CRASHED) from error

    def _answer(self, process: subprocess.Popen[str], wait_s: float) -> dict[str, Any]:
        assert process.stdout is not None
        assert self._asked_at is not None
        if not select.select([process.stdout], [], [], wait_s)[0]:
            if self._elapsed() - self._asked_at < GIVE_UP_S:
                raise GpuDriverError(NOT_YET)
            raise self._failed(HANGS)
        self._asked_at = None
        try:
            found: dict[str, Any] = json.loads(process.stdout.readline())
        except (OSError, ValueError) as error:
            raise self._failed(CRASHED) from error
        return found

    def _failed(self, why: str) -> GpuDriverError:
        self._fault, self._rest_until = why, self._elapsed() + AGAIN_S
        self._end()
        return GpuDriverError(why)

    def _end(self) -> None:
        """Killed rather than asked, and not waited for: it may be held in the driver."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close(pipe)
        self._former = process


def is_faulty(found: Mapping[str, Any]) -> bool:
    return found["error"] is not None or any(gpu["faults"] for gpu in found["gpus"])


def _has_ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except OSError:  # what was not written yet cannot be any more
        return
