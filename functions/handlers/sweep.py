"""Once a minute: resume what is late, mark who is silent, end what is left of hosts that were given up.

In the event, a negative `late_s` resumes everything that is not over, and `"brake": false` marks the silent hosts that
the brake holds back, once a person knows that they are gone.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from handlers.logs import logger
from rental.adapters import wiring
from rental.service.by_itself import each_by_itself
from rental.service.retiring import Clearing
from rental.service.silence import Silence
from rental.service.sweeping import LATE_S, Sweeping


@cache
def sweeping() -> Sweeping:
    return Sweeping(wiring.ledger(), wiring.workflows(), wiring.tasks())


@cache
def silence() -> Silence:
    return Silence(wiring.ledger(), wiring.liveness())


@cache
def clearing() -> Clearing:
    return Clearing(wiring.ledger(), wiring.tasks())


def handler(event: dict[str, Any], _context: Any) -> dict[str, int]:
    done = {"started": 0, "silent": 0, "cleared": 0}
    sweeps: dict[str, Callable[[], int]] = {
        "started": lambda: sweeping().sweep(int(event.get("late_s", LATE_S))),
        "silent": lambda: silence().sweep(brake=event.get("brake") is not False),
        "cleared": lambda: clearing().sweep(),
    }

    def sweep(name: str) -> int:
        done[name] = sweeps[name]()
        return done[name]

    try:
        each_by_itself(sweeps, sweep, "sweep not done")
    finally:
        logger.info("swept", extra=done)
    return done
