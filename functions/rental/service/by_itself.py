"""Many things in one sweep, none of which may keep the others from being done."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from rental.domain.errors import RentalError

T = TypeVar("T")

_log = logging.getLogger(__name__)


def each_by_itself(things: Iterable[T], do: Callable[[T], int], complaint: str) -> int:
    """The sum of what `do` returns of each. A refusal is logged under `complaint`, and left to the next sweep.

    Whatever else goes wrong is a fault of the service: it is raised, and so counted, once all others are done.
    """
    done = 0
    fault: Exception | None = None
    for thing in things:
        try:
            done += do(thing)
        except RentalError as error:
            _log.error(complaint, extra={"of": str(thing), "why": str(error)})
        except Exception as error:  # noqa: BLE001 -- raised below
            _log.exception(complaint, extra={"of": str(thing)})
            fault = error
    if fault is not None:
        raise fault
    return done
