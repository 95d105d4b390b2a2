"""Walks the machine along the lives that a contract can have: where each ends, how long it may take, what it costs."""

from collections.abc import Iterable
from datetime import UTC, datetime
from math import ceil
from typing import Any, get_args

import pytest

from infra.entrypoints import ENTRY_POINTS
from rental.service.life import Next
from tests.docs.pages import table
from tests.statemachines.walking import Execution, TaskFailedError, load, walk

MACHINE = load()
END, GRACE = 3_600, 172_800
MOST_TRANSITIONS = 14


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(following: str, end_at: int = END) -> dict[str, str]:
    return {"next": following, "end_at": _iso(end_at), "delete_after": _iso(end_at + GRACE)}


class ScriptedStep:
    """Answers each step with the next entry of its script: an answer, or the name of an error."""

    def __init__(self, **script: object) -> None:
        self._script: dict[str, list[Any]] = {
            name: list(entries) if isinstance(entries, list) else [entries] for name, entries in script.items()
        }
        self.asked: list[dict[str, Any]] = []

    def __call__(self, payload: dict[str, Any], now: int) -> Any:
        self.asked.append({**payload, "now": now})
        entries = self._script[payload["step"]]
        entry = entries.pop(0) if len(entries) > 1 else entries[0]
        if isinstance(entry, str):
            raise TaskFailedError(entry)
        return entry

    def times(self, step: str) -> list[int]:
        return [each["now"] for each in self.asked if each["step"] == step]


def _run(step: ScriptedStep) -> Execution:
    return walk(MACHINE, {"contract_id": 456, "run": 3}, step)


PLAIN: dict[str, object] = {
    "route": _answer("provision"),
    "provision": _answer("wait_for_end"),
    "expire": _answer("wait_for_deletion"),
    "delete": _answer("done"),
}


def test_a_plain_rental_takes_eleven_transitions() -> None:
    done = _run(ScriptedStep(**PLAIN))
    assert done.succeeded
    assert done.visited == [
        *("route", "decide", "provision", "decide", "wait_for_end", "expire", "decide"),
        *("wait_for_deletion", "delete", "decide", "done"),
    ]
    assert len(done.visited) <= MOST_TRANSITIONS


def test_each_step_is_told_the_contract_and_the_run_and_only_waiting_ones_a_token() -> None:
    step = ScriptedStep(**PLAIN)
    _run(step)
    assert {(each["v"], each["contract_id"], each["run"]) for each in step.asked} == {(1, 456, 3)}
    assert [each["step"] for each in step.asked if "task_token" in each] == ["provision", "delete"]


def test_it_expires_at_the_end_and_deletes_after_the_grace_to_the_second() -> None:
    step = ScriptedStep(**PLAIN)
    _run(step)
    assert step.times("expire") == [END]
    assert step.times("delete") == [END + GRACE]


def test_an_extended_contract_waits_for_its_new_end() -> None:
    later = END + 600
    expire = [_answer("wait_for_end", later), _answer("wait_for_deletion", later)]
    step = ScriptedStep(**{**PLAIN, "expire": expire})
    done = _run(step)
    assert done.succeeded
    assert step.times("expire") == [END, later]
    assert step.times("delete") == [later + GRACE]
    assert len(done.visited) <= MOST_TRANSITIONS


@pytest.mark.parametrize("at", ["route", "provision", "expire", "delete"])
def test_a_run_that_is_no_longer_current_ends_at_once_and_well(at: str) -> None:
    done = _run(ScriptedStep(**{**PLAIN, at: _answer("stale")}))
    assert done.succeeded
    assert done.visited[-3:] == [at, "decide", "stale"]


@pytest.mark.parametrize("resumed", sorted(set(get_args(Next)) - {"failed", "stale"}))
def test_a_new_run_resumes_wherever_the_contract_is(resumed: str) -> None:
    done = _run(ScriptedStep(**{**PLAIN, "route": _answer(resumed)}))
    assert done.succeeded
    assert done.visited[:3] == ["route", "decide", resumed]


def test_a_contract_whose_host_does_not_answer_is_abandoned_and_fails() -> None:
    step = ScriptedStep(**{**PLAIN, "provision": "States.Timeout", "abandon": _answer("failed")})
    done = _run(step)
    assert done.visited[-4:] == ["provision", "abandon", "decide", "failed"]
    assert done.error == "ContractFailed"
    assert done.now == 900
    assert done.attempts["provision"] == 1


def test_a_host_that_says_it_failed_fails_the_contract_without_a_compensation() -> None:
    done = _run(ScriptedStep(**{**PLAIN, "provision": _answer("failed")}))
    assert done.error == "ContractFailed"
    assert "abandon" not in done.visited


def test_a_host_whose_word_wins_the_race_against_the_timeout_keeps_its_contract() -> None:
    done = _run(ScriptedStep(**{**PLAIN, "provision": "States.Timeout", "abandon": _answer("wait_for_end")}))
    assert done.succeeded
    assert done.visited[2:6] == ["provision", "abandon", "decide", "wait_for_end"]


def test_throttling_passes_unnoticed() -> None:
    throttled = ["Lambda.TooManyRequestsException"] * 5
    step = ScriptedStep(**{name: [*throttled, answer] for name, answer in PLAIN.items()})
    assert _run(step).succeeded


@pytest.mark.parametrize(
    "error", ["Lambda.TooManyRequestsException", "StepFailed", "States.Timeout", "Sandbox.Timedout"]
)
@pytest.mark.parametrize("at", ["route", "expire", "delete", "abandon"])
def test_a_step_that_keeps_failing_ends_in_fail_for_the_sweep(at: str, error: str) -> None:
    abandoned = {"provision": "States.Timeout"} if at == "abandon" else {}
    done = _run(ScriptedStep(**{**PLAIN, **abandoned, at: error}))
    assert done.error == "StepInterrupted"
    assert done.cause == f"The step {at} ended with {error}. The sweep starts the next run."
    assert done.visited[-2:] == [at, "interrupted"]


@pytest.mark.parametrize(
    "error", ["Lambda.TooManyRequestsException", "StepFailed", "States.Timeout", "Runtime.ExitError"]
)
def test_whatever_ends_provision_is_compensated(error: str) -> None:
    done = _run(ScriptedStep(**{**PLAIN, "provision": error, "abandon": _answer("failed")}))
    assert done.visited[-4:] == ["provision", "abandon", "decide", "failed"]


@pytest.mark.parametrize("answer", [{"next": "dance"}, {}, None])
@pytest.mark.parametrize("at", ["route", "provision", "expire", "delete"])
def test_an_answer_that_nobody_knows_is_a_failure(at: str, answer: object) -> None:
    done = _run(ScriptedStep(**{**PLAIN, at: answer}))
    assert done.error == "AnswerUnrouted"


TASKS = [name for name, state in MACHINE["States"].items() if state["Type"] == "Task"]


@pytest.mark.parametrize("name", TASKS)
def test_a_step_takes_as_long_as_the_readme_says_and_then_goes_where_it_says(name: str) -> None:
    task = MACHINE["States"][name]
    rows = table("statemachines/README.md", "path").items()
    (attempt, at_most, then), *others = [cells for states, cells in rows if name in states.split(", ")]
    assert not others
    assert attempt.startswith(f"{task['TimeoutSeconds']} s")
    assert at_most.startswith(f"{ceil(_worst_s(task) / 6) / 10} min")
    assert then.startswith(f"`{task['Catch'][0]['Next']}`")


def _worst_s(task: dict[str, Any]) -> int:
    """Every attempt runs into its timeout, and jitter always draws the longest delay.

    A task that waits for a token does so once: before that, only the function can fail it, in its own time.
    """
    waits = task["Resource"].endswith(".waitForTaskToken")
    retries: int = sum(retrier["MaxAttempts"] for retrier in task["Retry"])
    timeout_s: int = task["TimeoutSeconds"]
    return (
        retries * (ENTRY_POINTS["step"].timeout_s if waits else timeout_s) + timeout_s + sum(_delays_s(task["Retry"]))
    )


def _delays_s(retriers: Iterable[dict[str, int]]) -> Iterable[int]:
    for retrier in retriers:
        for count in range(retrier["MaxAttempts"]):
            yield min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** count, retrier["MaxDelaySeconds"])
