"""What Docker writes while it pulls, as it was recorded, read as figures and a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpulease_host.docker_engine.pull_progress import PullFailedError, PullState
from gpulease_host.engine import Progress

MIB = 1 << 20
# From Docker 20.10: three layers, one of which is here, one comes at once, one breaks off and comes again.
RECORDED = Path(__file__).parent / "data" / "pull.jsonl"
LINES = [json.loads(line) for line in RECORDED.read_text().splitlines()]


def after(count: int) -> PullState:
    state = PullState()
    for line in LINES[:count]:
        state.take(line)
    return state


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (0, "Pulls its image: asks the registry."),
        (1, "Pulls its image: asks the registry."),
        (5, "Pulls its image: 1 of 3 layers, 0.0 of 0.0 MiB."),
        (7, "Pulls its image: 1 of 3 layers, 1.1 of 8.0 MiB."),
        (9, "Pulls its image: 1 of 3 layers, 2.1 of 8.0 MiB."),
        (10, "Pulls its image: 1 of 3 layers. The registry broke off, and is asked again."),
        (11, "Pulls its image: 1 of 3 layers, 5.0 of 8.0 MiB."),
        (13, "Pulls its image: 1 of 3 layers, unpacks."),
        (17, "Pulls its image: 3 of 3 layers."),
    ],
)
def test_the_sentence_says_how_far_it_is(lines: int, sentence: str) -> None:
    assert after(lines).sentence == sentence


def test_the_figures_only_rise_to_what_the_registry_told() -> None:
    assert after(7).progress == Progress(1, 3, 65536 + MIB, 6293587 + 2 * MIB)
    assert after(len(LINES)).progress == Progress(3, 3, 6293587 + 2 * MIB, 6293587 + 2 * MIB)


def test_a_line_with_an_error_is_a_failure_though_docker_said_200() -> None:
    line = {"errorDetail": {"message": "unexpected EOF"}, "error": "unexpected EOF"}
    with pytest.raises(PullFailedError, match="unexpected EOF"):
        after(9).take(line)


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"status": None, "id": 7},
        {"status": "Downloading", "id": "a", "progressDetail": None},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": "1", "total": -1}},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": -5, "total": 3}},
        {"status": "Some day new", "id": "a", "progressDetail": {"units": "s"}},
    ],
)
def test_a_line_that_is_not_understood_says_nothing(line: dict[str, object]) -> None:
    state = PullState()
    state.take(line)
    assert (state.progress.done_bytes, state.progress.total_bytes, state.progress.layers_done) == (0, 0, 0)


def test_a_size_that_is_not_told_is_at_least_what_has_come() -> None:
    state = PullState()
    state.take({"status": "Downloading", "id": "a", "progressDetail": {"current": 700}})
    assert state.progress == Progress(0, 1, 700, 700)


def test_layers_are_counted_as_they_are_announced() -> None:
    state = PullState()
    for each in range(3):
        state.take({"status": "Pulling fs layer", "id": f"{each}"})
    state.take({"status": "Waiting", "id": "0"})
    assert state.layers == 3
