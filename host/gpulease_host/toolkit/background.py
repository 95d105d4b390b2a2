"""Builds the toolkit beside everything else: whoever needs it meanwhile is told to wait, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
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
            self._prove_current()
            path = self._store.ensure()
            if path != self._proven:
                self._store.verify()
                self._note_proven(path)
            self._store.remove_unused(self._clock())
            self._note(None, LOOK_S)
        except (ToolkitError, OSError) as error:
            self._note(str(error), AGAIN_S)

    def _prove_current(self) -> None:
        """So that starts go on with it while a new one is built, or cannot be. A bad one is `ensure`'s to replace."""
        current = self._store.current()
        if self._proven is None and current is not None:
            with suppress(ToolkitError, OSError):
                self._store.verify()
                self._note_proven(current)

    def _note_proven(self, path: Path) -> None:
        with self._lock:
            self._proven = path

    def _note(self, fault: str | None, again_s: float) -> None:
        with self._lock:
            self._fault = fault
            self._look_at = self._elapsed() + again_s
            self._working = False
