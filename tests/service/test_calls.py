"""A client waits for a host: rung at once, answered once, and told when nobody answers."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rental.domain.calls import CALL_LIFE_S, CallId
from rental.domain.errors import (
    AlreadyDoneError,
    CallFailedError,
    ConflictError,
    ContractExpiredError,
    ContractOverError,
    HostOfflineError,
    InvalidRequestError,
    NoAnswerError,
    NotCurrentError,
    NotFoundError,
)
from rental.domain.ids import ContractId, HostId
from rental.domain.liveness import OFFLINE_AFTER_S
from rental.service.repeating import Repeatable
from tests.fakes.builders import HOST
from tests.fakes.world import World, client, owner, stranger

EXEC = {"command": ["id"], "timeout_s": 3}
LOGS = {"tail": 100, "since": None, "cursor": None}
RAN = {"exit_code": 0, "stdout": "0", "stderr": "", "truncated": False}


def running() -> tuple[World, ContractId]:
    world = World().add_host()
    contract = world.rent_active()
    world.bells.rung.clear()
    return world, contract.id


def host_answers(world: World, said: Any) -> Callable[[], None]:
    """The host replies to whatever it was rung for, once."""

    def answer() -> None:
        asked = [CallId(bell.call_id) for bell in world.bells.rung if bell.call_id is not None]
        world.bells.rung.clear()
        for call_id in asked:
            call = world.answering.show_call(HOST, call_id)
            sealed = f"to {call.reply_key} for {call_id}: {json.dumps(said)}"
            world.answering.reply(HOST, call_id, sealed)

    return answer


def test_a_command_is_rung_at_once_and_answered() -> None:
    world, contract_id = running()
    world.clock.while_sleeping = host_answers(world, RAN)
    assert world.calls.run_command(contract_id, client, None, EXEC) == RAN
    assert world.clock.slept_s < 0.1


def test_its_bell_is_urgent_and_names_the_call_alone() -> None:
    world, contract_id = running()
    with pytest.raises(NoAnswerError):
        world.calls.run_command(contract_id, client, None, EXEC)
    (bell,) = world.bells.rung
    assert bell.urgent
    assert world.dispatching.dispatch(HOST, [bell]) == 1
    ((_, order),) = world.commands.sent
    assert "id" not in json.dumps(order).split('"')
    assert bell.call_id is not None


def test_who_is_not_answered_is_told_so_in_time() -> None:
    world, contract_id = running()
    with pytest.raises(NoAnswerError):
        world.calls.run_command(contract_id, client, None, EXEC)
    assert 10 <= world.clock.slept_s < 11


def test_what_the_host_could_not_do_is_told() -> None:
    world, contract_id = running()
    world.clock.while_sleeping = host_answers(world, {"error": "no such program"})
    with pytest.raises(CallFailedError, match="no such program"):
        world.calls.run_command(contract_id, client, None, EXEC)


@pytest.mark.parametrize(
    ("error", "told"), [("no\x1b[2J such\nprogram", "no?[2J such program"), ("", "cannot be read"), ([], "cannot be")]
)
def test_what_the_host_writes_moves_no_cursor(error: Any, told: str) -> None:
    world, contract_id = running()
    world.clock.while_sleeping = host_answers(world, {"error": error})
    with pytest.raises(CallFailedError, match=re.escape(told)):
        world.calls.run_command(contract_id, client, None, EXEC)


@pytest.mark.parametrize("caller", [stranger, owner])
def test_only_the_client_asks(caller: Any) -> None:
    world, contract_id = running()
    with pytest.raises(NotFoundError):
        world.calls.run_command(contract_id, caller, None, EXEC)
    with pytest.raises(NotFoundError):
        world.calls.read_logs(contract_id, caller, None, LOGS)
    assert not world.bells.rung


def test_a_command_needs_a_running_instance_and_logs_do_not() -> None:
    world, contract_id = running()
    world.hear(contract_id, "exited")
    with pytest.raises(ConflictError, match="exited"):
        world.calls.run_command(contract_id, client, None, EXEC)
    world.bells.rung.clear()
    world.clock.while_sleeping = host_answers(world, {"items": [], "next": None})
    assert world.calls.read_logs(contract_id, client, None, LOGS)["items"] == []


def test_what_has_no_container_has_no_logs() -> None:
    world = World().add_host()
    with pytest.raises(ConflictError, match="no container"):
        world.calls.read_logs(world.rent().id, client, None, LOGS)


def test_after_the_end_logs_are_read_and_nothing_runs() -> None:
    world, contract_id = running()
    world.clock.advance(3600)
    with pytest.raises(ContractExpiredError):
        world.calls.run_command(contract_id, client, None, EXEC)
    world.clock.while_sleeping = host_answers(world, {"items": [], "next": None})
    world.calls.read_logs(contract_id, client, None, LOGS)


def test_a_contract_that_is_over_is_asked_nothing() -> None:
    world, contract_id = running()
    world.contracts.end_contract(contract_id, client)
    with pytest.raises(ContractOverError):
        world.calls.run_command(contract_id, client, None, EXEC)
    with pytest.raises(ConflictError):
        world.calls.read_logs(contract_id, client, None, LOGS)


def test_a_silent_host_is_not_waited_for() -> None:
    world, contract_id = running()
    world.clock.advance(OFFLINE_AFTER_S)
    world.silence.sweep()
    with pytest.raises(HostOfflineError):
        world.calls.run_command(contract_id, client, None, EXEC)
    assert world.clock.slept_s == 0


def test_a_repeated_command_is_not_run_again() -> None:
    world, contract_id = running()
    world.clock.while_sleeping = host_answers(world, RAN)
    request = Repeatable("key", b"asked")
    world.calls.run_command(contract_id, client, None, EXEC, request)
    with pytest.raises(AlreadyDoneError):
        world.calls.run_command(contract_id, client, None, EXEC, request)
    assert not world.bells.rung


def open_call(world: World, contract_id: ContractId) -> CallId:
    with pytest.raises(NoAnswerError):
        world.calls.run_command(contract_id, client, None, EXEC)
    return CallId(world.bells.rung[-1].call_id or "")


def test_a_call_is_its_own_hosts_and_lives_for_a_minute() -> None:
    world, contract_id = running()
    call_id = open_call(world, contract_id)
    with pytest.raises(NotCurrentError):
        world.answering.show_call(HostId(99), call_id)
    with pytest.raises(NotCurrentError):
        world.answering.reply(HostId(99), call_id, "x")
    world.clock.advance(CALL_LIFE_S)
    with pytest.raises(NotCurrentError):
        world.answering.reply(HOST, call_id, "x")


def test_a_call_is_answered_once() -> None:
    world, contract_id = running()
    call_id = open_call(world, contract_id)
    world.answering.reply(HOST, call_id, "first")
    with pytest.raises(NotCurrentError):
        world.answering.reply(HOST, call_id, "second")
    call = world.call_store.read_call(call_id)
    assert call is not None
    assert call.reply == "first"


def test_nothing_that_is_asked_lies_open() -> None:
    world, contract_id = running()
    call_id = open_call(world, contract_id)
    call = world.call_store.read_call(call_id)
    assert "command" not in repr(call)


class Racing:
    """A call store in which the same request, sent twice at once, gets in first."""

    def __init__(self, world: World, ask: Callable[[], object]) -> None:
        self._store, self._ask, self._asked = world.call_store, ask, False

    def read_memo(self, account: str, key: str, now: int) -> Any:
        memo = self._store.read_memo(account, key, now)
        if not self._asked:
            self._asked = True
            self._ask()
        return memo

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_of_two_equal_requests_at_once_one_runs_and_the_other_is_told_so() -> None:
    world, contract_id = running()
    world.clock.while_sleeping = host_answers(world, RAN)
    repeatable = Repeatable("key", b"asked")
    racing: Any = Racing(world, lambda: world.calls.run_command(contract_id, client, None, EXEC, repeatable))
    with pytest.raises(AlreadyDoneError):
        replace(world.calls, calls=racing).run_command(contract_id, client, None, EXEC, repeatable)


def test_a_busy_table_delays_a_call_and_its_reply() -> None:
    world, contract_id = running()
    world.clock.while_sleeping = host_answers(world, RAN)
    world.faults.extend(["conflict", "", "conflict"])
    assert world.calls.run_command(contract_id, client, None, EXEC) == RAN
    assert world.faults == []


def test_a_command_too_large_to_be_kept_is_refused() -> None:
    world, contract_id = running()
    with pytest.raises(InvalidRequestError, match="exceeds"):
        world.calls.run_command(contract_id, client, None, {"command": ["\N{SNOWMAN}" * 4096] * 64, "timeout_s": 1})
    assert not world.bells.rung
