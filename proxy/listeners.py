"""Which process of ours listens on which port of this machine, read from the kernel."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.silence import silence_s

PROC = Path("/proc")
LISTENING = "0A"
SSHD_NAMES = frozenset({"sshd", "sshd-session", "sshd-auth"})
"""From OpenSSH 9.8 on a connection's process has a program of its own, from 10.0 on also who is not yet let in."""


@dataclass(frozen=True)
class Listener:
    """A process, its parent, the ports it listens on, and how long ago its host said something."""

    pid: int
    parent: int
    ports: frozenset[int]
    silent_s: float


def sshd_pids() -> set[int]:
    """All processes of sshd that are this account's."""
    return {pid for pid in _own_pids() if _name(pid) in SSHD_NAMES}


def begun_by(pid: int) -> set[int]:
    """The processes that this one has begun, and that have not ended. Raises OSError."""
    return {int(each) for each in (PROC / f"{pid}/task/{pid}/children").read_text().split()}


def listeners(addresses: Collection[str], tunnel_address: str, tunnel_port: int) -> list[Listener]:
    """Every process of sshd that listens at one of the addresses, for a host that came in by this proxy's tunnel port.

    That connection proves it this proxy's, also where an earlier run let it in: other proxies of this account and
    address, such as another site's, have another port. Raises OSError.
    """
    sockets, silence = _listening(addresses), silence_s(tunnel_address, tunnel_port)
    found = []
    for pid in sshd_pids():
        inodes = set(_socket_inodes(pid))
        ports = frozenset(sockets[inode] for inode in inodes & sockets.keys())
        silent_s = [silence[inode] for inode in inodes & silence.keys()]
        if ports and silent_s:
            found.append(Listener(pid, _parent(pid), ports, min(silent_s)))
    return found


def left_in(folder: Path, name: str) -> set[int]:
    """All processes of this account and name that were started in this folder."""
    return {pid for pid in _own_pids() if _name(pid) == name and _folder(pid) == str(folder.resolve())}


def _listening(addresses: Collection[str]) -> dict[str, int]:
    """Ports by the inode of their socket. Tunnels listen on IPv4 only: a permit names the address."""
    found = {}
    for line in (PROC / "self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if fields[3] == LISTENING and socket.inet_ntoa(struct.pack("=I", int(address, 16))) in addresses:
            found[fields[9]] = int(port, 16)
    return found


def _own_pids() -> Iterator[int]:
    for entry in PROC.iterdir():
        try:
            if entry.name.isdecimal() and entry.stat().st_uid == os.geteuid():
                yield int(entry.name)
        except OSError:
            continue  # it has ended


def _name(pid: int) -> str:
    return _stat(pid)[0]


def _folder(pid: int) -> str:
    try:
        return str((PROC / str(pid) / "cwd").readlink()).removesuffix(" (deleted)")  # and made anew since
    except OSError:
        return ""


def _parent(pid: int) -> int:
    return int(_stat(pid)[1][1] or 0)


def _stat(pid: int) -> tuple[str, list[str]]:
    """Its name, and the fields after it; a name may hold anything."""
    try:
        head, _, tail = (PROC / str(pid) / "stat").read_text().rpartition(")")
    except OSError:
        return "", ["", "0"]
    return head.partition("(")[2], tail.split()


def _socket_inodes(pid: int) -> Iterator[str]:
    try:
        descriptors = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return
    for each in descriptors:
        try:
            target = str(each.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").rstrip("]")
