"""What a network can leave in the kernel when Docker is killed while it makes or removes one: a bridge, and rules.

A bridge that Docker finds when it makes the network again it takes for somebody else's, and leaves it for good.
"""

from __future__ import annotations

import fcntl
import shlex
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from gpulease_host.docker_engine.iptables import V4, V6, WAIT_S, Run, run_program, variant_of_docker

_GET_FLAGS, _SET_FLAGS, _DELETE_BRIDGE = 0x8913, 0x8914, 0x89A1
_UP = 1


def exists(name: str) -> bool:
    return any(name == known for _, known in socket.if_nameindex())


def clear(name: str, run: Run = run_program) -> None:
    """Remove a bridge that no network has any more, and every rule that names it. Not there is fine."""
    variant = variant_of_docker(run) or ""
    for program in (f"{family.program}{variant}" for family in (V4, V6)):
        status, saved = run([f"{program}-save"], "")
        for table, rule in _rules_of(name, saved if status == 0 else ""):
            run([program, "-w", WAIT_S, "-t", table, "-D", *rule], "")
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _delete(control, name.encode())


def _rules_of(name: str, saved: str) -> Iterator[tuple[str, list[str]]]:
    """The tables and rules, as iptables-save prints them, in which the bridge stands."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        words = shlex.split(line) if line.startswith("-A ") and name in line else []
        if name in words:
            yield table, words[1:]


def _delete(control: socket.socket, name: bytes) -> None:
    """Only a bridge that is down can be deleted."""
    request = struct.pack("16sH22x", name, 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _GET_FLAGS, request), 16)
    fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH22x", name, flags & ~_UP))
    fcntl.ioctl(control, _DELETE_BRIDGE, name.ljust(16, b"\0"))
