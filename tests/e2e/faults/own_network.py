"""A network namespace for the calling thread and every process it starts: as empty as a machine's after its boot.

A Docker Engine of our own may set and lose its rules and bridges there, beside one that others use.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
CURRENT = Path("/proc/thread-self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network() -> Iterator[None]:
    """Inside, loopback is all there is. Threads that were started before stay where they are."""
    before = os.open(CURRENT, os.O_RDONLY)
    try:
        renew_network()
        yield
    finally:
        _checked(_libc.setns(before, CLONE_NEWNET))
        os.close(before)


def renew_network() -> None:
    """Leave the namespace for a new one, as a reboot does. Nothing of ours may run in the old one any more."""
    _checked(_libc.unshare(CLONE_NEWNET))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
