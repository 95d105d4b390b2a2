"""Published ports that something else on this machine was found to have: no contract gets them until they are free."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import closing

from gpulease_host.engine import Port, Transport

MOST_PORTS = 64
Taken = tuple[Transport, int]


def is_taken(port: Taken) -> bool:
    """Tried as Docker does: on every address, and over what only waits for its last packets."""
    protocol, number = port
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with closing(socket.socket(socket.AF_INET, kind)) as probe:
        if protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", number))
            if protocol == "tcp":
                probe.listen(1)
        except OSError:
            return True
    return False


class TakenPorts:
    def __init__(self, is_taken: Callable[[Taken], bool] = is_taken) -> None:
        self._is_taken = is_taken
        self._lock = threading.Lock()
        self._known: dict[Taken, None] = {}

    def note(self, ports: Iterable[Port]) -> None:
        """A start failed over these. The newest are kept where there are too many to be told."""
        with self._lock:
            for port in ports:
                if port.host is not None:
                    self._known.pop((port.protocol, port.host), None)
                    self._known[port.protocol, port.host] = None
            self._known = dict.fromkeys(list(self._known)[-MOST_PORTS:])

    def look(self) -> list[Taken]:
        """Those that still are."""
        with self._lock:
            self._known = dict.fromkeys(port for port in self._known if self._is_taken(port))
            return list(self._known)
