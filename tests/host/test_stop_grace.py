"""How long a container may take to stop: as long as its client asked for, and never far beyond its contract's end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpulease_host.stop_grace import END_GRACE_S, stop_grace_s
from tests.host.orders import NOW, order
from tests.host.rig import Rig


@pytest.mark.parametrize(
    ("asked", "left_s", "seconds"),
    [
        (None, 3600, 10),
        (25, 3600, 25),
        (1, 3600, 1),
        (120, 3600, 120),
        (25, 0, 25),
        (120, 0, END_GRACE_S),
        (120, 30, END_GRACE_S + 30),
        (120, -3600, 10),
        (5, -3600, 5),
    ],
)
def test_stop_grace_is_what_was_asked_for_as_far_as_the_end_leaves_it(
    asked: int | None, left_s: int, seconds: int
) -> None:
    given = replace(order(end_at=NOW + left_s), stop_grace_s=asked)
    assert stop_grace_s(given, 10, NOW) == seconds


def test_removal_does_not_wait_for_what_the_client_gave_up() -> None:
    assert stop_grace_s(replace(order(desired="absent"), stop_grace_s=120), 10, NOW) == 10


def test_stops_of_a_client_and_at_the_end_have_the_grace_of_the_contract(rig: Rig) -> None:
    graces: list[int] = []
    stop = rig.engine.stop

    def note(instance_id: int, grace_s: int = 10) -> None:
        graces.append(grace_s)
        stop(instance_id, grace_s)

    rig.engine.stop = note  # type: ignore[method-assign]
    rig.give(replace(order(), stop_grace_s=25))
    rig.give(replace(order(generation=2, desired="stopped"), stop_grace_s=25))
    rig.give(replace(order(generation=3, token=2, end_at=int(rig.clock()) + 60), stop_grace_s=25))
    rig.pass_time(61)
    assert graces == [25, 25]


def test_enforcement_leaves_docker_the_grace_before_it_kills(rig: Rig) -> None:
    rig.give(replace(order(end_at=NOW + 10), stop_grace_s=120))
    rig.engine.is_down = True
    rig.pass_time(10 + END_GRACE_S + 19)
    assert rig.engine.is_running(11)
    rig.pass_time(2)
    assert not rig.engine.is_running(11)
