"""Free ports on loopback, for sites that choose their own."""

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
"""Below those that Linux gives to connections."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_range(count: int) -> int:
    """The first of so many ports in a row that nobody listens on now."""
    while True:
        first = random.randrange(LOWEST, HIGHEST - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
