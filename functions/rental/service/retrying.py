"""The loop around a change outside all books: read an item, write it, and again when others were faster."""

from collections.abc import Callable
from typing import TypeVar

from rental.domain.errors import BusyError
from rental.ports import Clock, Entropy, GuardFailedError, TakenError
from rental.service.ledger import ATTEMPTS, BACKOFF_MS

T = TypeVar("T")


def retried(attempt: Callable[[int], T], clock: Clock, entropy: Entropy) -> T:
    """What `attempt` makes of the present time, tried as often as a book is. Raises BusyError."""
    for tries in range(ATTEMPTS):
        try:
            return attempt(clock.now())
        except (GuardFailedError, TakenError):
            clock.sleep(entropy.below(BACKOFF_MS << tries) / 1000)
    raise BusyError("Too many requests at once. Send the same request again.")
