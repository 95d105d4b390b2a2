"""Runs the state machine's definition in virtual time, with a step function of the test's making.

It knows what the definition uses and refuses the rest, so nothing passes by being ignored. JSONata is evaluated by a
full implementation of the language.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonata  # type: ignore[import-untyped]  # the package has no annotations

from infra.paths import STATE_MACHINE

Payload = dict[str, Any]
Step = Callable[[Payload, int], Any]
"""Takes the payload and the time now; returns the answer, or raises TaskFailedError."""

KNOWN_FIELDS = {
    "Task": {"Resource", "Arguments", "Output", "TimeoutSeconds", "Retry", "Catch", "Next"},
    "Choice": {"Choices", "Default"},
    "Wait": {"Timestamp", "Next"},
    "Succeed": set(),
    "Fail": {"Error", "Cause"},
}
MOST_TRANSITIONS = 100


class TaskFailedError(Exception):
    """A task ends with an error of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class UnknownFieldError(Exception):
    """The definition uses something that this walker does not know."""


@dataclass
class Execution:
    """What came of it: the states entered in order, how often each was tried, when it ended."""

    now: int
    visited: list[str] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    cause: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None


def load(path: Path = STATE_MACHINE) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def walk(definition: Mapping[str, Any], execution_input: Payload, step: Step, now: int = 0) -> Execution:
    """Run from the start to a Succeed or a Fail."""
    walker = _Walker(definition, execution_input, step, Execution(now))
    return walker.run()


class _Walker:
    def __init__(self, definition: Mapping[str, Any], given: Payload, step: Step, execution: Execution) -> None:
        self._states = definition["States"]
        self._start = definition["StartAt"]
        self._given = given
        self._step = step
        self._execution = execution

    def run(self) -> Execution:
        name: str | None = self._start
        data: Any = self._given
        while name is not None:
            self._execution.visited.append(name)
            assert len(self._execution.visited) <= MOST_TRANSITIONS, "the machine goes round in circles"
            data, name = self._enter(name, data)
        return self._execution

    def _enter(self, name: str, data: Any) -> tuple[Any, str | None]:
        state = self._states[name]
        unknown = state.keys() - KNOWN_FIELDS[state["Type"]] - {"Type", "Comment"}
        if unknown:
            raise UnknownFieldError(f"{name}: {sorted(unknown)}")
        match state["Type"]:
            case "Task":
                return self._task(name, state, data)
            case "Choice":
                return data, self._choose(state, data)
            case "Wait":
                self._wait(state, data)
                return data, state["Next"]
            case "Fail":
                self._execution.error = self._fill(state["Error"], {"input": data})
                self._execution.cause = self._fill(state["Cause"], {"input": data})
        return data, None

    def _task(self, name: str, state: Mapping[str, Any], data: Any) -> tuple[Any, str]:
        used: dict[int, int] = {}
        while True:
            try:
                result = self._attempt(name, state, data)
            except TaskFailedError as failure:
                if self._retries(state, failure.name, used):
                    continue
                catcher = next(each for each in state["Catch"] if _matches(each["ErrorEquals"], failure.name))
                output = self._fill(catcher["Output"], {"input": data, "errorOutput": {"Error": failure.name}})
                return output, catcher["Next"]
            return self._fill(state["Output"], {"input": data, "result": result}), state["Next"]

    def _attempt(self, name: str, state: Mapping[str, Any], data: Any) -> Any:
        self._execution.attempts[name] = self._execution.attempts.get(name, 0) + 1
        waits_for_token = state["Resource"].endswith(".waitForTaskToken")
        task = {"Token": f"token-{name}-{self._execution.attempts[name]}"} if waits_for_token else None
        payload = self._fill(state["Arguments"], {"input": data}, task)["Payload"]
        try:
            answer = self._step(payload, self._execution.now)
        except TaskFailedError as failure:
            if failure.name == "States.Timeout":
                self._execution.now += state["TimeoutSeconds"]
            raise
        return answer if waits_for_token else {"Payload": answer, "StatusCode": 200}

    def _retries(self, state: Mapping[str, Any], error: str, used: dict[int, int]) -> bool:
        for place, retrier in enumerate(state["Retry"]):
            if _matches(retrier["ErrorEquals"], error):
                count = used.get(place, 0)
                if count >= retrier["MaxAttempts"]:
                    return False
                used[place] = count + 1
                longest = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** count
                self._execution.now += min(longest, retrier["MaxDelaySeconds"])
                return True
        return False

    def _choose(self, state: Mapping[str, Any], data: Any) -> str:
        for rule in state["Choices"]:
            if self._fill(rule["Condition"], {"input": data}) is True:
                return str(rule["Next"])
        return str(state["Default"])

    def _wait(self, state: Mapping[str, Any], data: Any) -> None:
        until = self._fill(state["Timestamp"], {"input": data})
        moment = datetime.strptime(until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        self._execution.now = max(self._execution.now, int(moment.timestamp()))

    def _fill(self, template: Any, states: Mapping[str, Any], task: Any = None) -> Any:
        """Evaluate every `{% … %}` in a template."""
        if isinstance(template, dict):
            return {key: self._fill(value, states, task) for key, value in template.items()}
        if isinstance(template, str) and template.startswith("{%"):
            context = {"Execution": {"Input": self._given}, "Task": task}
            expression = jsonata.Jsonata.jsonata(template.removeprefix("{%").removesuffix("%}"))
            return expression.evaluate(None, {"states": {**states, "context": context}})
        return template


def _matches(names: list[str], error: str) -> bool:
    if "States.ALL" in names or error in names:
        return True
    return "States.TaskFailed" in names and error != "States.Timeout"
