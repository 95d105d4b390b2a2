"""Once a minute: resume what is late. A negative `late_s` in the event resumes everything that is not over."""

from functools import cache
from typing import Any

from handlers.logs import logger
from rental.adapters import wiring
from rental.service.sweeping import LATE_S, Sweeping


@cache
def sweeping() -> Sweeping:
    return Sweeping(wiring.ledger(), wiring.workflows(), wiring.tasks())


def handler(event: dict[str, Any], _context: Any) -> dict[str, int]:
    started = sweeping().sweep(int(event.get("late_s", LATE_S)))
    logger.info("swept", extra={"started": started})
    return {"started": started}
