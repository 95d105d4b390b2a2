"""Whole lives of contracts in virtual time: today's service in memory, and executions by whatever definition is given.

One clock for all. Executions that the service starts run side by side, their tasks call today's `take_step`, the host
answers the bells that are rung for it, the sweep comes as often as it is told. A call of the network takes no time, a
host a second.
"""

import heapq
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from handlers.step import take_step
from rental.domain.book import Bell
from rental.domain.contract import Contract
from rental.domain.ids import ContractId
from rental.domain.lifecycle import Desired
from tests.fakes.ports import FakeBells, FakeTasks, FakeWorkflows
from tests.fakes.world import World
from tests.statemachines.walking import Ask, Execution, March, Payload, SleepFor, SleepUntil, TaskFailedError, march

HOST_TAKES_S = 1
Run = tuple[int, int]
Step = Callable[..., Any]
HostKind = Literal["obeys", "fails", "silent"]


@dataclass
class Lives:
    """`host` may be changed on the way. `stops_are_lost`: what should be stopped runs on, as it may in truth.

    `alter` is done to every answer, of a step or to a token.
    """

    definition: Mapping[str, Any]
    step: Step = take_step
    alter: Callable[[Payload], Payload] = dict
    host: HostKind = "obeys"
    stops_are_lost: bool = False
    answers_lost: int = 0
    executions: dict[Run, Execution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._marches: dict[Run, March] = {}
        self._waiting: dict[str, Run] = {}
        self.world = World(
            bells=_Bells(hears=self._host_hears),
            workflows=_Workflows(begin=self._begin, end=self._end, runs=lambda run: run in self._marches),
            tasks=_Tasks(answer=self._answer, throw=self._fail),
        ).add_host()

    @property
    def now(self) -> int:
        return self.world.clock.at

    def at(self, moment: int, act: Callable[[], object]) -> None:
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), act))

    def play(self, until: int) -> None:
        """Let everything happen that happens until then."""
        while self._events and self._events[0][0] <= until:
            moment, _, act = heapq.heappop(self._events)
            self.world.clock.at = moment
            act()
        self.world.clock.at = until

    def sweep_each(self, seconds: int) -> None:
        self.world.sweeping.sweep()
        self.at(self.now + seconds, partial(self.sweep_each, seconds))

    def visited(self, contract: Contract, run: int = 1) -> list[str]:
        return self.executions[(contract.id, run)].visited

    def _begin(self, run: Run) -> None:
        execution = self.executions[run] = Execution(self.now)
        self._marches[run] = march(self.definition, {"contract_id": run[0], "run": run[1]}, execution)
        self._go_on(run, partial(self._marches[run].send, None))

    def _end(self, run: Run) -> None:
        if not self.stops_are_lost:
            self._marches.pop(run, None)

    def _go_on(self, run: Run, move: Callable[[], Any]) -> None:
        if run not in self._marches:
            return
        machine = self._marches[run]
        self.executions[run].now = self.now
        try:
            request = move()
        except StopIteration:
            del self._marches[run]
            return
        match request:
            case SleepFor(seconds):
                self.at(self.now + seconds, partial(self._go_on, run, partial(machine.send, None)))
            case SleepUntil(moment):
                self.at(moment, partial(self._go_on, run, partial(machine.send, None)))
            case Ask():
                self._ask(run, request)

    def _ask(self, run: Run, ask: Ask) -> None:
        if ask.token is not None:
            self._waiting[ask.token] = run
            self.at(self.now + ask.timeout_s, partial(self._fail, ask.token, "States.Timeout"))
        try:
            answer = self.step(self.world.life, self.world.tasks, ask.payload)
        except Exception as error:  # noqa: BLE001  Lambda makes a failed task of whatever a function raises
            name = error.name if isinstance(error, TaskFailedError) else type(error).__name__
            self._waiting.pop(ask.token or "", None)
            self.at(self.now, partial(self._throw, run, name))
            return
        if ask.token is None:
            self.at(self.now, partial(self._send, run, json.dumps(answer)))

    def _answer(self, token: str, output: str) -> None:
        if self.answers_lost:
            self.answers_lost -= 1
        elif token in self._waiting:
            self.at(self.now, partial(self._send, self._waiting.pop(token), output))

    def _fail(self, token: str, error: str) -> None:
        if token in self._waiting:
            self.at(self.now, partial(self._throw, self._waiting.pop(token), error))

    def _send(self, run: Run, output: str) -> None:
        self._go_on(run, lambda: self._marches[run].send(self.alter(json.loads(output))))

    def _throw(self, run: Run, error: str) -> None:
        self._go_on(run, lambda: self._marches[run].throw(TaskFailedError(error)))

    def _host_hears(self, contract_id: ContractId) -> None:
        self.at(self.now + HOST_TAKES_S, partial(self._host_says, contract_id))

    def _host_says(self, contract_id: ContractId) -> None:
        """Whatever is wanted now has been done, or could not be."""
        contract = self.world.read(contract_id)
        if self.host == "silent" or contract.is_released:
            return
        wanted = {each.desired for each in contract.instances if not each.is_removed}
        if Desired.ABSENT in wanted:
            self.world.hear(contract_id, "absent")
        elif Desired.STOPPED in wanted:
            self.world.hear(contract_id, "stopped")
        elif self.host == "fails":
            self.world.hear(contract_id, "failed", reason="No such image.")
        else:
            self.world.hear(contract_id, "running")


@dataclass(kw_only=True)
class _Bells(FakeBells):
    hears: Callable[[ContractId], None]

    def ring(self, bells: Sequence[Bell]) -> None:
        super().ring(bells)
        for bell in bells:
            self.hears(bell.contract_id)


@dataclass(kw_only=True)
class _Workflows(FakeWorkflows):
    begin: Callable[[Run], None]
    end: Callable[[Run], None]
    runs: Callable[[Run], bool]

    def start(self, contract_id: ContractId, run: int) -> None:
        is_new = not self.deaf and (contract_id, run) not in self.started
        super().start(contract_id, run)
        if is_new:
            self.begin((contract_id, run))

    def stop(self, contract_id: ContractId, run: int) -> None:
        super().stop(contract_id, run)
        self.end((contract_id, run))

    def is_running(self, contract_id: ContractId, run: int) -> bool:
        return self.runs((contract_id, run))


@dataclass(kw_only=True)
class _Tasks(FakeTasks):
    answer: Callable[[str, str], None]
    throw: Callable[[str, str], None]

    def succeed(self, token: str, output: str) -> None:
        super().succeed(token, output)
        self.answer(token, output)

    def fail(self, token: str, error: str, cause: str) -> None:
        super().fail(token, error, cause)
        self.throw(token, error)


def failing(step: str, error: str, run: int = 1) -> Step:
    """Today's step function, but for one step of one run, which never succeeds."""

    def take(life: Any, tasks: Any, event: Payload) -> Any:
        if (event["step"], event["run"]) == (step, run):
            raise TaskFailedError(error)
        return take_step(life, tasks, event)

    return take
