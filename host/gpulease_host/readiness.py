"""Whether this machine as a whole is fit to be rented, and how it says so: `modes` and `not_ready` of the inventory.

A check is a function that answers a sentence that says what is wrong and what to do, or None; it may raise
EngineError where it cannot tell now. To add one, give it to `Readiness` in `docker_engine/opening.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpulease_host.engine import EngineError

Check = Callable[[], str | None]

LOOK_S = 3600.0
AGAIN_S = 60.0
"""While something is wrong, or a check could not tell."""
MAX_SENTENCE = 300
MAX_NOT_READY = 8
"""As schemas/register.v1.json has them; what is longer is cut."""


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="readiness", daemon=True).start()


class Readiness:
    """Keeps what the checks said. `mark` answers something else when what they look at may have changed."""

    def __init__(
        self,
        checks: Sequence[Check] = (),
        mark: Callable[[], object] = lambda: None,
        elapsed: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = _start,
    ) -> None:
        self._checks = checks
        self._mark = mark
        self._elapsed = elapsed
        self._start = start
        self._lock = threading.Lock()
        self._found: tuple[str, ...] | None = None
        self._marked: object = None
        self._look_at = float("-inf")
        self._working = False

    def not_ready(self) -> list[str]:
        """What was wrong at the last look. The first is made at once, later ones aside: a check may take seconds.

        Raises EngineError, at the first look only.
        """
        if self._found is None:
            self._note(self._look(), self._mark())
        elif self._begins():
            self._start(self._look_again)
        return list(self._found or ())

    def look_soon(self) -> None:
        """Something may have changed that `mark` does not tell of."""
        with self._lock:
            self._look_at = float("-inf")

    def _begins(self) -> bool:
        with self._lock:
            if self._working or (self._elapsed() < self._look_at and self._mark() == self._marked):
                return False
            self._working = True
            return True

    def _look_again(self) -> None:
        marked = self._mark()
        try:
            found = self._look()
        except EngineError:  # it stands as it was until somebody can tell
            with self._lock:
                self._working, self._look_at = False, self._elapsed() + AGAIN_S
                self._marked = marked
            return
        self._note(found, marked)

    def _look(self) -> tuple[str, ...]:
        return tuple(said for check in self._checks if (said := check()) is not None)

    def _note(self, found: tuple[str, ...], marked: object) -> None:
        with self._lock:
            self._found, self._marked, self._working = found, marked, False
            self._look_at = self._elapsed() + (AGAIN_S if found else LOOK_S)


def also_not_ready(inventory: Mapping[str, Any], faults: Sequence[str]) -> Mapping[str, Any]:
    """The inventory with what the daemon itself has found, said first."""
    if not faults:
        return inventory
    return {**inventory, "not_ready": [*map(_cut, faults), *inventory.get("not_ready", [])][:MAX_NOT_READY]}


def say(modes: Mapping[str, str | None], not_ready: Sequence[str]) -> dict[str, Any]:
    """In their wire shape."""
    return {
        "modes": {mode: None if reason is None else _cut(reason) for mode, reason in modes.items()},
        "not_ready": [_cut(each) for each in not_ready[:MAX_NOT_READY]],
    }


def _cut(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_SENTENCE else f"{sentence[: MAX_SENTENCE - 1]}…"
