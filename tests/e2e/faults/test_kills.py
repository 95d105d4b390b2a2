"""kill -9 of each part of the service at random moments of a contract's life; nothing is lost, nothing is left."""

from __future__ import annotations

import random

import pytest

from tests.e2e.faults import phases
from tests.e2e.faults.killing import drawn_seed, kill_in_phase
from tests.e2e.faults.phases import Phase
from tests.e2e.faults.site import VICTIMS, FaultSite, Victim

ROUNDS = 3
PHASES: tuple[Phase, ...] = (phases.provision, phases.stop, phases.expiry, phases.early_end)


@pytest.mark.timeout(300)
def test_each_part_is_killed_once_and_everything_comes_to_rest_within_two_heartbeats(faulty: FaultSite) -> None:
    seed = drawn_seed()
    print(f"seed {seed}")
    chance = random.Random(seed)
    for victim, phase in zip(VICTIMS, chance.sample(PHASES, len(PHASES)), strict=True):
        kill_in_phase(faulty, victim, phase, chance)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", [*PHASES, phases.deletion], ids=lambda phase: phase.__name__)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_part_killed_again_and_again_in_a_phase(faulty: FaultSite, victim: Victim, phase: Phase) -> None:
    seed = drawn_seed()
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        kill_in_phase(faulty, victim, phase, chance)
