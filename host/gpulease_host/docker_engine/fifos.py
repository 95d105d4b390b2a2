"""FIFOs in a container's files that Docker waits for: opened for writing once, they let it go on, at an empty file.

What Docker was about to do then happens, while we know of it, instead of when somebody restarts Docker.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpulease_host.engine import EngineError

READ_BY_DOCKER = ("etc/passwd", "etc/group")
EVERY_S = 3.0
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_HOW = struct.Struct("@QQQ")
_libc = ctypes.CDLL(None, use_errno=True)


def open_once(root: Path) -> None:
    """Where a process waits to read one of them. What cannot be opened, is left."""
    for name in READ_BY_DOCKER:
        with suppress(OSError):
            _open_within(root, name)


@contextmanager
def opened_meanwhile(root: Callable[[], Path | None]) -> Iterator[None]:
    """Again and again, for a call that takes longer than it should: more than one program reads them."""
    done = threading.Event()

    def open_them() -> None:
        while not done.wait(EVERY_S):
            with suppress(EngineError, OSError):  # Docker is slow just now, and may not even say where its data is
                if (found := root()) is not None:
                    open_once(found)

    threading.Thread(target=open_them, name="fifos", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _open_within(root: Path, name: str) -> None:
    """Links lead nowhere but into the container's own files, and nothing is opened that is no FIFO."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _resolve(directory, name)
    finally:
        os.close(directory)
    try:
        if stat.S_ISFIFO(os.fstat(found).st_mode):
            os.close(os.open(f"/proc/self/fd/{found}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    finally:
        os.close(found)


def _resolve(directory: int, name: str) -> int:
    how = _HOW.pack(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    found = int(_libc.syscall(_OPENAT2, directory, name.encode(), how, len(how)))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
