"""One run of a program whose output a tenant may write: it ends in time, and little of what it says is kept."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence

SAID_BYTES = 4096


def outcome(command: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Its exit code, and what it said on standard error; who says more than is kept is killed.

    Raises TimeoutExpired, and FileNotFoundError for a program that is not there.
    """
    deadline = time.monotonic() + timeout_s
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            said = _said(process, deadline)
            if len(said) >= SAID_BYTES:
                process.kill()
            return process.wait(max(0.0, deadline - time.monotonic())), said.decode("utf-8", "replace")
        finally:
            process.kill()


def _said(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Until it closes its standard error, or has said enough."""
    assert process.stderr is not None
    pipe = process.stderr.fileno()
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    said = b""
    while len(said) < SAID_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not waiting.poll(left_s * 1000):
            raise subprocess.TimeoutExpired(process.args, left_s)
        chunk = os.read(pipe, SAID_BYTES - len(said))
        if not chunk:
            break
        said += chunk
    return said
