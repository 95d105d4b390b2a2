"""The process that reads NVML, kept for as long as all is well: an answer within a time, or a GpuDriverError.

What is wrong may be what the process has loaded, so one that tells of a fault is replaced, at most twice a minute. One
that does not even end when it is killed, because the kernel holds it, is waited for: there is never a second beside it.
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

FIRST_ANSWER_S = 30.0
"""A driver that nobody keeps open begins each GPU anew, which takes seconds for each."""
ANSWER_S = 10.0
AGAIN_S = 30.0
ENDS_WITHIN_S = 1.0
STUCK = "NVIDIA's driver does not answer: it does not let go of who asked it; reboot this machine."
COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("nvml_reader.py")))


class GpuDriverError(EngineError):
    """NVIDIA's driver does not answer."""

    code = "gpu_driver_error"


class NvmlProcess:
    def __init__(
        self,
        command: Sequence[str] = COMMAND,
        first_answer_s: float = FIRST_ANSWER_S,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._first_answer_s = first_answer_s
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._former: subprocess.Popen[str] | None = None
        self._begun_at = float("-inf")
        self._has_answered = False
        self._fault = ""

    def ask(self) -> dict[str, Any]:
        """Raises GpuDriverError."""
        with self._lock:
            process = self._process or self._begin()
            found = self._ask(process)
            self._has_answered = True
            if is_faulty(found) and self._elapsed() - self._begun_at >= AGAIN_S:
                self._end()
            return found

    def close(self) -> None:
        with self._lock:
            self._end()

    def _begin(self) -> subprocess.Popen[str]:
        if self._fault and self._elapsed() - self._begun_at < AGAIN_S:
            raise GpuDriverError(self._fault)
        if self._former is not None and not _has_ended(self._former):
            raise GpuDriverError(self._fault or STUCK)
        self._begun_at, self._has_answered, self._fault = self._elapsed(), False, ""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self._process

    def _ask(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        within_s = ANSWER_S if self._has_answered else self._first_answer_s
        line = ""
        try:
            process.stdin.write("look\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], within_s)[0]:
                raise self._failed(f"it has not answered within {within_s:g} s; reboot this machine")
            line = process.stdout.readline()
            found: dict[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            raise self._failed("its library crashed; install it again, and reboot this machine") from error
        return found

    def _failed(self, why: str) -> GpuDriverError:
        self._fault = f"NVIDIA's driver does not answer: {why}"
        self._end()
        return GpuDriverError(self._fault)

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
