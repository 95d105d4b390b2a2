"""Runs the state machine's definition, one state after another, for whoever keeps the time and answers its tasks.

It knows what the definition uses and refuses the rest, so nothing passes by being ignored. JSONata is evaluated by a
full implementation of the language.
"""

import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonata  # type: ignore[import-untyped]  # the package has no annotations

from infra.paths import STATE_MACHINE

RELEASED = STATE_MACHINE.parent / "released"
NAME = re.compile(r"contract\.v(\d+)\.asl\.json")

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


@dataclass(frozen=True)
class Ask:
    """Wants the step's answer, or its failure thrown in; with a token, whoever has that answers."""

    payload: Payload
    timeout_s: int
    token: str | None


@dataclass(frozen=True)
class SleepFor:
    seconds: int


@dataclass(frozen=True)
class SleepUntil:
    moment: int


Request = Ask | SleepFor | SleepUntil
March = Generator[Request, Any, None]


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


def released() -> dict[int, Path]:
    """Every version that was ever shipped."""
    found = ((NAME.fullmatch(path.name), path) for path in RELEASED.iterdir())
    return {int(match.group(1)): path for match, path in found if match}


def walk(definition: Mapping[str, Any], execution_input: Payload, step: Step, now: int = 0) -> Execution:
    """Run from the start to a Succeed or a Fail, alone in virtual time."""
    execution = Execution(now)
    machine = march(definition, execution_input, execution)
    answer: Any = None
    failure: TaskFailedError | None = None
    while True:
        try:
            request = machine.throw(failure) if failure else machine.send(answer)
        except StopIteration:
            return execution
        answer, failure = None, None
        match request:
            case SleepFor(seconds):
                execution.now += seconds
            case SleepUntil(moment):
                execution.now = max(execution.now, moment)
            case Ask(payload, timeout_s):
                try:
                    answer = step(payload, execution.now)
                except TaskFailedError as error:
                    failure = error
                    execution.now += timeout_s if error.name == "States.Timeout" else 0


def march(definition: Mapping[str, Any], given: Payload, execution: Execution) -> March:
    """One execution, which yields whatever it has to wait for."""
    return _Walker(definition, given, execution).run()


class _Walker:
    def __init__(self, definition: Mapping[str, Any], given: Payload, execution: Execution) -> None:
        self._states = definition["States"]
        self._start = definition["StartAt"]
        self._given = given
        self._execution = execution

    def run(self) -> March:
        name: str | None = self._start
        data: Any = self._given
        while name is not None:
            self._execution.visited.append(name)
            assert len(self._execution.visited) <= MOST_TRANSITIONS, "the machine goes round in circles"
            data, name = yield from self._enter(name, data)

    def _enter(self, name: str, data: Any) -> Generator[Request, Any, tuple[Any, str | None]]:
        state = self._states[name]
        unknown = state.keys() - KNOWN_FIELDS[state["Type"]] - {"Type", "Comment"}
        if unknown:
            raise UnknownFieldError(f"{name}: {sorted(unknown)}")
        match state["Type"]:
            case "Task":
                return (yield from self._task(name, state, data))
            case "Choice":
                return data, self._choose(state, data)
            case "Wait":
                return data, (yield from self._wait(state, data))
            case "Fail":
                self._execution.error = self._fill(state["Error"], {"input": data})
                self._execution.cause = self._fill(state["Cause"], {"input": data})
        return data, None

    def _task(self, name: str, state: Mapping[str, Any], data: Any) -> Generator[Request, Any, tuple[Any, str]]:
        used: dict[int, int] = {}
        while True:
            try:
                result = yield from self._attempt(name, state, data)
            except TaskFailedError as failure:
                delay_s = _retry_after_s(state, failure.name, used)
                if delay_s is not None:
                    yield SleepFor(delay_s)
                    continue
                catcher = next(each for each in state["Catch"] if _matches(each["ErrorEquals"], failure.name))
                output = self._fill(catcher["Output"], {"input": data, "errorOutput": {"Error": failure.name}})
                return output, catcher["Next"]
            return self._fill(state["Output"], {"input": data, "result": result}), state["Next"]

    def _attempt(self, name: str, state: Mapping[str, Any], data: Any) -> Generator[Request, Any, Any]:
        count = self._execution.attempts[name] = self._execution.attempts.get(name, 0) + 1
        token = None
        if state["Resource"].endswith(".waitForTaskToken"):
            token = f"token-{self._given['contract_id']}-{self._given['run']}-{name}-{count}"
        payload = self._fill(state["Arguments"], {"input": data}, {"Token": token} if token else None)["Payload"]
        answer = yield Ask(payload, state["TimeoutSeconds"], token)
        return answer if token else {"Payload": answer, "StatusCode": 200}

    def _choose(self, state: Mapping[str, Any], data: Any) -> str:
        for rule in state["Choices"]:
            if self._fill(rule["Condition"], {"input": data}) is True:
                return str(rule["Next"])
        return str(state["Default"])

    def _wait(self, state: Mapping[str, Any], data: Any) -> Generator[Request, Any, str | None]:
        until = self._fill(state["Timestamp"], {"input": data})
        try:
            moment = datetime.strptime(until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except (TypeError, ValueError):  # nothing can catch it: the execution is over
            self._execution.error = "States.Runtime"
            self._execution.cause = f"{until!r} is no moment to wait for"
            return None
        yield SleepUntil(int(moment.timestamp()))
        return str(state["Next"])

    def _fill(self, template: Any, states: Mapping[str, Any], task: Any = None) -> Any:
        """Evaluate every `{% … %}` in a template."""
        if isinstance(template, dict):
            return {key: self._fill(value, states, task) for key, value in template.items()}
        if isinstance(template, str) and template.startswith("{%"):
            context = {"Execution": {"Input": self._given}, "Task": task}
            expression = jsonata.Jsonata.jsonata(template.removeprefix("{%").removesuffix("%}"))
            return expression.evaluate(None, {"states": {**states, "context": context}})
        return template


def _retry_after_s(state: Mapping[str, Any], error: str, used: dict[int, int]) -> int | None:
    """The longest that jitter can draw, or None when the task is not tried again."""
    for place, retrier in enumerate(state["Retry"]):
        if _matches(retrier["ErrorEquals"], error):
            count = used.get(place, 0)
            if count >= retrier["MaxAttempts"]:
                return None
            used[place] = count + 1
            longest: int = min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** count, retrier["MaxDelaySeconds"])
            return longest
    return None


def _matches(names: list[str], error: str) -> bool:
    if "States.ALL" in names or error in names:
        return True
    return "States.TaskFailed" in names and error != "States.Timeout"
