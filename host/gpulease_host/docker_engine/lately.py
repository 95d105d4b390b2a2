"""What was found out about containers and images lately: containers come and go for as long as the daemon runs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

MOST = 4096
"""Far more than a host has at once, so what is asked for again is there."""

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Lately(dict[KeyT, ValueT]):
    """A dictionary that forgets its oldest entries when it has more than MOST."""

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        super().__setitem__(key, value)
        if len(self) > MOST:
            self.pop(next(iter(self)), None)
