"""Builds the toolkit beside everything else: whoever needs it meanwhile is told to wait, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.store import ToolkitStore

BUILDING = "The host builds its toolkit for ssh and jupyter; that takes a minute."
AGAIN_S = 60.0
LOOK_S = 3600.0
"""How often the packages are looked at, for updates."""


class ToolkitKeeper:
    """Keeps one toolkit of today's packages at hand."""

    def __init__(
        self,
        store: ToolkitStore,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._working = False
        self._look_at = float("-inf")
        self._proven: Path | None = None
        self._fault: str | None = None

    def ready(self) -> Path | None:
        """The toolkit that a start may use, held to its manifest once; the rest happens aside."""
        self.attend()
        with self._lock:
            return self._proven

    def why_not_ready(self) -> str | None:
        if self.ready() is not None:
            return None
        with self._lock:
            return BUILDING if self._fault is None else f"The host has no toolkit for ssh and jupyter: {self._fault}"

    def attend(self) -> None:
        """Look at the packages, if that is due, and build if they have changed. Returns at once."""
        with self._lock:
            if self._working or self._elapsed() < self._look_at:
                return
            self._working = True
        threading.Thread(target=self._work, name="toolkit", daemon=True).start()

    def _work(self) -> None:
        try:
            path = self._store.ensure()
            if path != self._proven:
                self._store.verify()
            self._store.remove_unused(self._clock())
            self._note(path, None, LOOK_S)
        except (ToolkitError, OSError) as error:
            self._note(self._proven, str(error), AGAIN_S)

    def _note(self, proven: Path | None, fault: str | None, again_s: float) -> None:
        with self._lock:
            self._proven, self._fault = proven, fault
            self._look_at = self._elapsed() + again_s
            self._working = False
