"""What machines send and nobody believes: one line each, which an alarm counts (infra/constructs/alarms.py)."""

from typing import Any

from handlers.logs import logger
from rental.domain.errors import (
    BusyError,
    ContractExpiredError,
    ContractOverError,
    HostRetiredError,
    NotCurrentError,
    RentalError,
)
from rental.domain.refusal import Why

LINE = "refused"
WHY_OF: dict[type[RentalError], Why] = {
    HostRetiredError: Why.RETIRED,
    NotCurrentError: Why.NOT_CURRENT,
    ContractExpiredError: Why.OVER,
    ContractOverError: Why.OVER,
}
MAX_TEXT_LENGTH = 200


def log_refusal(error: Exception, **about: Any) -> None:
    """Say once why it is refused. `busy` is no refusal: the same is welcome in a moment."""
    if not isinstance(error, BusyError):
        logger.warning(LINE, extra={"why": _why(error), **about, "text": str(error)[:MAX_TEXT_LENGTH]})


def log_repeat(**about: Any) -> None:
    """A queue delivers some reports twice, or late: few of these are nobody's fault."""
    logger.info(LINE, extra={"why": Why.REPEATED, **about})


def _why(error: Exception) -> Why:
    if not isinstance(error, RentalError):
        return Why.MALFORMED
    return error.why or WHY_OF.get(type(error), Why.MALFORMED)
