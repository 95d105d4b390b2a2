"""Something that is done in an interval, and at once where there is a reason."""

from __future__ import annotations

import time
from collections.abc import Callable


class Paced:
    """What fails is due again at once."""

    def __init__(self, action: Callable[[], None], interval_s: float, called_for: Callable[[], bool]) -> None:
        self._action = action
        self._interval_s = interval_s
        self._called_for = called_for
        self._done_at: float | None = None

    def first_time(self) -> None:
        if self._done_at is None:
            self._do()

    def in_time(self) -> None:
        is_called_for = self._called_for()
        if is_called_for or self._done_at is None or time.monotonic() - self._done_at > self._interval_s:
            self._do()

    def _do(self) -> None:
        self._done_at = None
        self._action()
        self._done_at = time.monotonic()
