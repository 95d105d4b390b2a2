"""Builds the toolkit beside everything else: whoever needs it meanwhile is told to wait, and why."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gpulease_host.backoff import Backoff
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.store import ToolkitStore

BUILDING = "The host builds its toolkit for ssh and jupyter; that takes a minute."
TRYING = "The host tries its toolkit for ssh and jupyter, as after each start of its program; that takes a moment."
NO_TOOLKIT = "The host has no toolkit for ssh and jupyter at the moment."
AGAIN_S = 60.0
"""Between looks after a failure. It is built again when that may help: after a change, or ever more seldom."""
LOOK_S = 3600.0
"""How often the packages are looked at, for updates."""

State = tuple[str, Path | None]
"""Of the packages, and which toolkit there is: one may be built by hand."""


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="toolkit", daemon=True).start()


class ToolkitKeeper:
    """Keeps one toolkit of today's packages at hand."""

    def __init__(
        self,
        store: ToolkitStore,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        start: Callable[[Callable[[], None]], None] = _start,
    ) -> None:
        self._store = store
        self._clock = clock
        self._elapsed = elapsed
        self._start = start
        self._lock = threading.Lock()
        self._working = False
        self._backoff = Backoff(AGAIN_S, LOOK_S, random)
        self._failed: State | None = None
        self._look_at = self._build_at = float("-inf")
        self._proven: Path | None = None
        self._is_tried = False
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
            return self._why_not()

    def why_one_waits(self) -> str | None:
        """As `why_not_ready`, for a tenant: what is wrong on the machine is its owner's business."""
        reason = self.why_not_ready()
        with self._lock:
            return reason if reason is None or self._fault is None else NO_TOOLKIT

    def why_not_served(self) -> str | None:
        """Why nothing new should count on it. Starts no work.

        One that is there is believed for the seconds until it is tried: at a registration, and when a daemon starts.
        """
        with self._lock:
            is_untried = not self._is_tried and self._fault is None and self._store.current() is not None
            return None if is_untried or self._proven is not None else self._why_not()

    def attend(self) -> None:
        """Look at the packages, if that is due, and build if they have changed. Returns at once."""
        with self._lock:
            if self._proven is not None and not self._proven.exists():  # somebody has removed it
                self._proven, self._look_at = None, float("-inf")
            if self._working or self._elapsed() < self._look_at:
                return
            self._working = True
        try:
            self._start(self._work)
        except RuntimeError as error:  # no thread is to be had
            self._note(str(error), AGAIN_S)

    def _why_not(self) -> str:
        if self._fault is not None:
            return f"The host has no toolkit for ssh and jupyter: {self._fault}"
        return TRYING if not self._is_tried and self._store.current() is not None else BUILDING

    def _work(self) -> None:
        try:
            state = self._store.state(), self._store.current()
            if state == self._failed and self._elapsed() < self._build_at:
                self._note(self._fault, AGAIN_S)
            else:
                self._renew(state)
        except (ToolkitError, OSError) as error:
            self._note(str(error), AGAIN_S)

    def _renew(self, state: State) -> None:
        """Raises ToolkitError and OSError, and knows then when to try that again."""
        try:
            self._prove_current()
            path = self._store.ensure()
            if path != self._proven:
                self._store.verify()
                self._note_proven(path)
            self._store.remove_unused(self._clock())
        except (ToolkitError, OSError):
            self._put_off(state)
            raise
        self._backoff.succeeded(self._failed)
        self._failed = None
        self._note(None, LOOK_S)

    def _put_off(self, state: State) -> None:
        if state != self._failed:
            self._backoff.succeeded(self._failed)
        self._failed, self._build_at = state, self._elapsed() + self._backoff.failed(state)

    def _prove_current(self) -> None:
        """So that starts go on with it while a new one is built, or cannot be. What is wrong with it is told later."""
        current = self._store.current()
        if self._proven is None and current is not None:
            with suppress(ToolkitError, OSError):
                self._store.verify()
                self._note_proven(current)
        self._is_tried = True

    def _note_proven(self, path: Path) -> None:
        with self._lock:
            self._proven = path

    def _note(self, fault: str | None, again_s: float) -> None:
        with self._lock:
            self._fault = fault
            is_removed = fault is None and self._proven is None  # by somebody, since it was seen to be there
            self._look_at = float("-inf") if is_removed else self._elapsed() + again_s
            self._working = False
