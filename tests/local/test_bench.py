"""The benchmark measures what it says: every function, handling a real event, against targets that can be missed."""

from collections.abc import Iterator

import pytest

from infra.entrypoints import API, ENTRY_POINTS
from infra.host_package import build_host_package
from local.bench import cold_starts
from local.bench.__main__ import Measured
from local.bench.aws_stub import AwsStub
from local.bench.cold_starts import WrongAnswerError
from local.bench.figures import Figure, render
from local.bench.first_answers import API_TARGET, EVENT_TARGET, FIRST_ANSWERS, FirstAnswer
from local.bench.rented import Rented, make_rented


@pytest.fixture(scope="module")
def rented() -> Rented:
    return make_rented()


@pytest.fixture(scope="module")
def stub(rented: Rented) -> Iterator[AwsStub]:
    with AwsStub(rented.items, rented.presences, build_host_package().body) as serving:
        yield serving


def test_every_function_has_a_target_for_its_cold_start() -> None:
    targets = {each.function: each.target for each in FIRST_ANSWERS if each.target is not None}
    of_api = {entry.name for entry in API}
    assert targets == {name: API_TARGET if name in of_api else EVENT_TARGET for name in ENTRY_POINTS}


@pytest.mark.parametrize("first", FIRST_ANSWERS, ids=lambda each: f"{each.function} {each.what}")
def test_a_first_answer_is_a_real_one(first: FirstAnswer, rented: Rented, stub: AwsStub) -> None:
    assert cold_starts.first_answer_s(first, rented, stub) > 0


def test_the_bare_client_gets_its_item(stub: AwsStub) -> None:
    assert cold_starts.bare_client_s(stub) > 0


def test_an_event_that_is_refused_is_no_figure(stub: AwsStub) -> None:
    stranger = make_rented()  # signed with a key that the host in the table has not
    for first in FIRST_ANSWERS:
        if first.function in ("on_instance_changed", "api_machine"):
            with pytest.raises(cold_starts.WrongAnswerError):
                cold_starts.first_answer_s(first, stranger, stub)


def test_a_target_that_is_missed_says_so() -> None:
    lines = render([Figure("a", 1.7, 1.7), Figure("b", 1.71, 1.7), Figure("c", 9, None, "ms")]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["a", "1.70", "at", "most", "1.70", "ok"],
        ["b", "1.71", "at", "most", "1.70", "MISS"],
        ["c", "9.00", "ms"],
    ]
    assert [Figure("", value, 1.0).is_missed for value in (0.5, 1.0, 1.01)] == [False, False, True]


def test_a_figure_that_cannot_be_had_keeps_no_other_from_being_told() -> None:
    def broken() -> list[Figure]:
        raise WrongAnswerError("The tunnel did not come about.")

    measured = Measured()
    measured.add("one", lambda: [Figure("one", 1.0, 2.0)])
    measured.add("copies", broken)
    measured.add("two", lambda: [Figure("two", 3.0, 2.0)])
    text = measured.text()
    assert "NOT HAD: copies: The tunnel did not come about." in text
    assert "MISSED: two" in text
    assert not measured.is_in_order
    assert [each.name for each in measured.figures] == ["one", "two"]


def test_targets_are_met_only_where_every_figure_was_had() -> None:
    measured = Measured([Figure("one", 1.0, 2.0)])
    assert measured.is_in_order
    assert measured.text().endswith("Every target is met.")
    measured.failed("the site", OSError())
    assert "Every target is met" not in measured.text()
