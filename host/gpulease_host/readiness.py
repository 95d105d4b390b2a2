"""Whether this machine as a whole is fit to be rented, and how it says so: `modes` and `not_ready` of the inventory.

A check is a function that answers a sentence that says what is wrong and what to do, or None; where it cannot tell now,
it raises. To add one, give it to `Readiness` in `docker_engine/opening.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[[], str | None]

LOOK_S = 3600.0
AGAIN_S = 60.0
"""While something is wrong, or a check could not tell."""
NOT_LOOKED_AT = "The host is still finding out whether this machine is fit to be rented. Wait a minute."
MAX_SENTENCE = 300
MAX_NOT_READY = 8
"""As schemas/register.v1.json has them; what is longer is cut."""


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="readiness", daemon=True).start()


class Readiness:
    """Keeps what each check said. `mark` answers something else when what they look at may have changed.

    Looks are made aside, because a check may take long. The first word waits for the first one, `first_wait_s` at
    most; a machine that nobody has looked at is not ready.
    """

    def __init__(
        self,
        checks: Sequence[Check] = (),
        mark: Callable[[], object] = lambda: None,
        elapsed: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = _start,
        first_wait_s: float = 0.0,
    ) -> None:
        self._checks = checks
        self._mark = mark
        self._elapsed = elapsed
        self._start = start
        self._first_wait_s = first_wait_s
        self._lock = threading.Lock()
        self._said: list[str | None] = [None] * len(checks)
        self._looked = threading.Event()
        self._marked: object = None
        self._look_at = float("-inf")
        self._working = False

    def not_ready(self) -> list[str]:
        """What was wrong when it was last looked at."""
        if self._checks and self._begins():
            self._start(self._look)
        wait_s, self._first_wait_s = self._first_wait_s, 0.0
        if self._checks and not self._looked.wait(wait_s):
            return [*filter(None, self._said), NOT_LOOKED_AT]
        return [*filter(None, self._said)]

    def look_soon(self) -> None:
        """Something may have changed that `mark` does not tell of."""
        with self._lock:
            self._look_at = float("-inf")

    def _begins(self) -> bool:
        with self._lock:
            if self._working or (self._elapsed() < self._look_at and self._read_mark() == self._marked):
                return False
            self._working = True
            return True

    def _look(self) -> None:
        marked = self._read_mark()
        all_told = all([self._ask(number) for number in range(len(self._checks))])
        is_fit = all_told and not any(self._said)
        with self._lock:
            self._marked, self._working = marked, False
            self._look_at = self._elapsed() + (LOOK_S if is_fit else AGAIN_S)
        self._looked.set()

    def _ask(self, number: int) -> bool:
        """Whether the check could tell. If not, what it said before stands: that alone makes no machine unfit."""
        try:
            self._said[number] = self._checks[number]()
        except Exception:  # noqa: BLE001 - one check must neither end the daemon nor hide what others found
            return False
        return True

    def _read_mark(self) -> object:
        try:
            return self._mark()
        except OSError:
            return self._marked


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
