"""What the engine remembers of containers that are gone does not grow for ever."""

from __future__ import annotations

from gpulease_host.docker_engine.lately import MOST, Lately


def test_the_oldest_is_forgotten_and_what_is_known_is_kept() -> None:
    known = Lately[int, str]()
    for number in range(MOST + 3):
        known[number] = "x"
    assert len(known) == MOST
    assert 2 not in known
    assert known[MOST + 2] == "x"
