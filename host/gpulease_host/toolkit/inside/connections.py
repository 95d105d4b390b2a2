"""sshd's connections as the kernel has them: which process holds which, and who is at the far end."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import places

SSHD = "/.gl/bin/sshd"
SSHD_PROGRAMS = {SSHD, f"{SSHD}-session", f"{SSHD}-auth"}
"""A connection's: up to OpenSSH 9.7 all of it is sshd's own."""

PORT = ":2726"
"""10022, as the kernel writes it."""
LISTENING = "0A"

FarEnd = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True)
class Connection:
    far_end: FarEnd
    has_spoken: bool
    """Said that it speaks SSH: from then on a second process deals with it until it has logged in."""


def connected() -> set[FarEnd]:
    """Raises OSError."""
    return set(far_ends().values())


def holders(far_end: FarEnd) -> Iterator[int]:
    """The sshd processes that hold the connection with this far end."""
    known = far_ends()
    for process in places.PROC.iterdir():
        if process.name.isdigit() and far_end in held_by(process, known):
            yield int(process.name)


def of_children(pid: int) -> dict[int, Connection]:
    """What the processes hold that this sshd has begun, one for each connection. Raises OSError."""
    known = far_ends()
    found = ((child, held_by(places.PROC / str(child), known)) for child in children(pid))
    return {child: Connection(held[0], _has_child(child)) for child, held in found if held}


def children(pid: int) -> list[int]:
    """Raises OSError, also on a kernel that does not tell (without CONFIG_PROC_CHILDREN)."""
    return [int(each) for each in (places.PROC / f"{pid}/task/{pid}/children").read_text().split()]


def far_ends() -> dict[str, FarEnd]:
    """Of all connections to sshd's port, by their socket: not of those that are forwarded. Raises OSError."""
    rows = [line.split() for line in (places.PROC / "net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]": _far_end(row[2]) for row in rows if row[1].endswith(PORT) and row[3] != LISTENING}


def held_by(process: Path, known: dict[str, FarEnd]) -> list[FarEnd]:
    """Nothing where it is no sshd of ours, or has just ended."""
    try:
        if str((process / "exe").readlink()) not in SSHD_PROGRAMS:
            return []
        return [known[each] for each in _open_files(process) if each in known]
    except OSError:
        return []


def _has_child(pid: int) -> bool:
    try:
        return bool(children(pid))
    except OSError:  # it has just ended
        return False


def _open_files(process: Path) -> Iterable[str]:
    return [str(each.readlink()) for each in (process / "fd").iterdir()]


def _far_end(text: str) -> FarEnd:
    """As the kernel writes it: the address as a number of this machine's byte order, the port as one."""
    address, _, port = text.partition(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)
