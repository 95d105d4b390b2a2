"""Free ports of this machine, for sites that choose their own.

None is of those that Linux gives to connections (`ip_local_port_range`, from 32,768 on): such a port may be anybody's
before it is listened on, and whoever waits there by connecting can meet themselves.
"""

import random
import socket
from collections.abc import Sequence

OURS = range(10_000, 20_000)
"""For servers."""
TENANTS = range(20_000, 32_000)
"""For containers of this machine as a host."""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has now, at any address."""
    return _free(OURS, 1, kind)


def free_range(count: int) -> int:
    """The first of so many ports in a row that nobody has now, at any address."""
    return _free(TENANTS, count, socket.SOCK_STREAM)


def _free(among: Sequence[int], count: int, kind: socket.SocketKind) -> int:
    while True:
        first = random.choice(among[: len(among) - count + 1])
        if all(is_free(port, kind) for port in range(first, first + count)):
            return first


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether nobody has it now, at any address of IPv4."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
