"""How long to wait before trying again: doubling, with jitter, so that many hosts do not come back at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class Backoff:
    """Counts failures by key. `random` gives numbers in [0, 1)."""

    def __init__(self, first_s: float, most_s: float, random: Callable[[], float]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._random = random
        self._failures: dict[Hashable, int] = {}

    def failed(self, key: Hashable) -> float:
        """Seconds to wait after one more failure: between half and all of the doubled delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(self._most_s, self._first_s * 2.0 ** min(failures, 30))
        return delay_s * (0.5 + self._random() / 2)

    def succeeded(self, key: Hashable) -> None:
        self._failures.pop(key, None)
