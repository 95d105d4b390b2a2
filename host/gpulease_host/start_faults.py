"""What keeps containers from starting on this host: told by a start that failed, until one there succeeds.

Meanwhile nobody rents there: a fault of some GPUs takes those off the market, any other the whole host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

from gpulease_host.engine import HostFaultError


class StartFaults:
    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._of_host: str | None = None
        self._of_gpus: dict[str, str] = {}

    @property
    def of_host(self) -> str | None:
        return self._of_host

    @property
    def of_gpus(self) -> Mapping[str, str]:
        """By UUID; sentences for the host's owner."""
        with self._lock:
            return dict(self._of_gpus)

    @property
    def are_any(self) -> bool:
        return self._of_host is not None or bool(self._of_gpus)

    def suspect(self, fault: HostFaultError, uuids: Collection[str]) -> None:
        """A client's start on these GPUs failed. An odd image may have caused what was said, so it costs the host no
        more than the client had, until a container of the host's own was tried there."""
        with self._lock:
            self._of_gpus |= dict.fromkeys(uuids, fault.for_owner)
        self._on_change()

    def note(self, fault: HostFaultError, uuids: Collection[str]) -> None:
        """A start of the host's own on these GPUs failed."""
        if fault.of_gpus:
            self.suspect(fault, uuids)
            return
        with self._lock:
            self._of_host = fault.for_owner
        self._on_change()

    def succeeded(self, uuids: Collection[str]) -> None:
        """A container started on these GPUs."""
        with self._lock:
            known = self._of_host is not None or not self._of_gpus.keys().isdisjoint(uuids)
            self._of_host = None
            for uuid in uuids:
                self._of_gpus.pop(uuid, None)
        if known:
            self._on_change()
