"""One kill at a drawn moment of a phase; within two heartbeats everything has to be where it should."""

from __future__ import annotations

import os
import random
import time

from tests.e2e.faults.phases import Phase
from tests.e2e.faults.site import FaultSite, Victim, Vigil

SEED_VARIABLE = "GPULEASE_FAULT_SEED"
LONGEST_DOWN_S = 1.0


def drawn_seed() -> int:
    """Another each time, and said, so that a run can be repeated."""
    return int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1_000_000))


def kill_in_phase(faulty: FaultSite, victim: Victim, phase: Phase, chance: random.Random) -> None:
    steps = phase(faulty)
    with Vigil(faulty) as vigil:
        window = next(steps)
        moment = chance.uniform(window.opens, window.closes)
        time.sleep(max(0.0, moment - time.time()))
        faulty.kill(victim)
        killed_at = time.time()
        time.sleep(chance.uniform(0, LONGEST_DOWN_S))
        faulty.bring_back()
        back_at = time.time()
        faulty.come_to_rest(max(back_at, window.closes))
        print(
            f"{victim} killed {killed_at - window.opens:.2f} s into {phase.__name__}, back after"
            f" {back_at - killed_at:.1f} s, at rest {time.time() - back_at:.1f} s later"
        )
    next(steps, None)
    assert not vigil.seen_together
