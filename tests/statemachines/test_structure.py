"""Walks every state of the definition: nothing may leak, hang without an end or retry without jitter."""

from typing import Any, get_args

import pytest

from infra.entrypoints import ENTRY_POINTS
from rental.service.life import Life, Next
from tests.statemachines.walking import load

DEFINITION = load()
STATES: dict[str, dict[str, Any]] = DEFINITION["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
RESOURCES = {"arn:aws:states:::lambda:invoke", "arn:aws:states:::lambda:invoke.waitForTaskToken"}
THROTTLED = {
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
}


def _following(state: dict[str, Any]) -> list[str]:
    routes = [*state.get("Choices", []), *state.get("Catch", [])]
    ways = [state.get("Next"), state.get("Default"), *(route["Next"] for route in routes)]
    return [way for way in ways if way]


def test_the_machine_speaks_jsonata_and_says_its_time_budget() -> None:
    assert DEFINITION["QueryLanguage"] == "JSONata"
    assert "Time budget" in DEFINITION["Comment"]
    assert not [name for name, state in STATES.items() if "QueryLanguage" in state]


def test_every_state_is_reached_and_every_way_leads_somewhere() -> None:
    reached, ways = {DEFINITION["StartAt"]}, [DEFINITION["StartAt"]]
    while ways:
        fresh = set(_following(STATES[ways.pop()])) - reached
        reached |= fresh
        ways += fresh
    assert reached == set(STATES)


def test_only_succeed_and_fail_end_the_machine() -> None:
    assert not [name for name, state in STATES.items() if "End" in state]
    for name, state in STATES.items():
        assert bool(_following(state)) == (state["Type"] not in ("Succeed", "Fail")), name


@pytest.mark.parametrize("name", TASKS)
def test_a_task_asks_the_step_of_its_own_name(name: str) -> None:
    task = TASKS[name]
    payload = task["Arguments"]["Payload"]
    assert task["Resource"] in RESOURCES
    assert task["Arguments"]["FunctionName"] == "${StepFunctionArn}"
    assert (payload["v"], payload["step"]) == (1, name)
    assert callable(getattr(Life, name))
    assert ("task_token" in payload) == task["Resource"].endswith(".waitForTaskToken")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_a_literal_timeout_longer_than_its_functions(name: str) -> None:
    timeout = TASKS[name]["TimeoutSeconds"]
    assert type(timeout) is int
    assert timeout > ENTRY_POINTS["step"].timeout_s


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_retried_with_backoff_limit_and_jitter(name: str) -> None:
    retriers = TASKS[name]["Retry"]
    assert any(set(retrier["ErrorEquals"]) >= THROTTLED for retrier in retriers)
    assert any("States.TaskFailed" in retrier["ErrorEquals"] for retrier in retriers)
    for retrier in retriers:
        assert retrier["BackoffRate"] > 1
        assert retrier["MaxAttempts"] > 0
        assert retrier["MaxDelaySeconds"] <= 60
        assert retrier["JitterStrategy"] == "FULL"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_catches_everything_and_its_compensation_ends_in_fail(name: str) -> None:
    (catcher,) = TASKS[name]["Catch"]
    assert catcher["ErrorEquals"] == ["States.ALL"]
    compensation = STATES[catcher["Next"]]
    assert catcher["Output"]["step"] == name
    assert compensation["Type"] == "Fail" or compensation["Catch"][0]["Next"] == "interrupted"


def test_a_task_that_waits_is_not_started_again_when_it_timed_out() -> None:
    waiting = [task for task in TASKS.values() if task["Resource"].endswith(".waitForTaskToken")]
    assert waiting
    for task in waiting:
        assert not [each for each in task["Retry"] if {"States.Timeout", "States.ALL"} & set(each["ErrorEquals"])]


def test_every_answer_of_the_service_has_a_state_of_its_name() -> None:
    rules = STATES["decide"]["Choices"]
    routed = {rule["Next"]: rule["Condition"] for rule in rules}
    assert set(routed) == set(get_args(Next))
    for answer, condition in routed.items():
        assert condition == f"{{% $states.input.next = '{answer}' %}}"
    assert STATES[STATES["decide"]["Default"]]["Type"] == "Fail"


def test_waits_end_at_a_moment_that_the_service_answered() -> None:
    waits = {name: state["Timestamp"] for name, state in STATES.items() if state["Type"] == "Wait"}
    assert waits == {
        "wait_for_end": "{% $states.input.end_at %}",
        "wait_for_deletion": "{% $states.input.delete_after %}",
    }
