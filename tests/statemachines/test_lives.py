"""Every released machine runs against today's code, along every life that a contract can have.

Executions live for months, so one that began under any of these definitions is answered by the step function as it is
now. Each life here is a function of a definition, so that the last tests can show that it fails where it should.
"""

import copy
import json
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from rental.domain.contract import EXTENSIONS_PER_RUN, RENEW_AFTER_S, Contract
from rental.domain.lifecycle import ContractStatus
from tests.fakes.builders import TERMS
from tests.fakes.world import client, owner
from tests.statemachines.lives import Lives, failing
from tests.statemachines.walking import load, released

DAY_S = 86_400
HOUR_S = 3_600
VERSIONS = released()
Definition = dict[str, Any]

every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def definition(version: int) -> Definition:
    return load(VERSIONS[version])


def timeline(lives: Lives, contract: Contract) -> list[str]:
    """The statuses that the contract has had, one after another."""
    entries = lives.world.store.list_timeline(contract.id, None, 1000).items
    return [status for status, _ in groupby(str(each.status) for each in entries if each.instance_id is None)]


def holds_nothing(lives: Lives) -> bool:
    manifest = lives.world.manifest()
    return not manifest.leases and not manifest.claims and manifest.disk_free_bytes == manifest.capacity.disk_bytes


def ends_deleted(lives: Lives, contract: Contract) -> None:
    assert lives.world.read(contract.id).status is ContractStatus.DELETED
    assert holds_nothing(lives)


def a_plain_life(lives: Lives) -> None:
    contract = lives.world.rent()
    lives.play(contract.delete_after + 10)
    assert timeline(lives, contract) == ["pending", "active", "expired", "deleting", "deleted"]
    ends_deleted(lives, contract)
    assert lives.executions[(contract.id, 1)].succeeded
    assert set(lives.executions) == {(contract.id, 1)}


@every_version
def test_a_plain_rental_is_run_expired_and_deleted_at_its_times(definition: Definition) -> None:
    lives = Lives(definition)
    began = lives.now
    a_plain_life(lives)
    (execution,) = lives.executions.values()
    assert execution.now == began + HOUR_S + TERMS.grace_s + 1  # and the second that the host takes


@every_version
def test_a_host_that_cannot_start_it_fails_the_contract(definition: Definition) -> None:
    lives = Lives(definition, host="fails")
    contract = lives.world.rent()
    lives.play(lives.now + 60)
    assert timeline(lives, contract) == ["pending", "failed"]
    assert lives.executions[(contract.id, 1)].error == "ContractFailed"
    assert "abandon" not in lives.visited(contract)
    assert holds_nothing(lives)


@every_version
def test_a_host_that_never_answers_is_abandoned_and_returns_what_it_held_when_it_does(definition: Definition) -> None:
    lives = Lives(definition, host="silent")
    contract = lives.world.rent()
    lives.play(lives.now + HOUR_S)
    assert timeline(lives, contract) == ["pending", "failed"]
    assert lives.visited(contract)[-3:] == ["abandon", "decide", "failed"]
    assert not holds_nothing(lives)
    lives.world.hear(contract.id, "absent")
    assert holds_nothing(lives)


@every_version
def test_a_host_whose_answer_was_lost_keeps_its_contract(definition: Definition) -> None:
    lives = Lives(definition, answers_lost=1)
    a_plain_life(lives)
    assert "abandon" in next(iter(lives.executions.values())).visited


@every_version
def test_an_extended_contract_expires_at_its_new_end(definition: Definition) -> None:
    lives = Lives(definition)
    contract = lives.world.rent()
    later = contract.end_at + DAY_S
    lives.at(contract.end_at - 5, lambda: lives.world.contracts.extend_contract(contract.id, owner, later))
    lives.play(contract.delete_after + 10)
    assert timeline(lives, contract)[-1] == "expired"
    lives.play(later + TERMS.grace_s + 10)
    ends_deleted(lives, contract)
    assert set(lives.executions) == {(contract.id, 1)}


@every_version
@pytest.mark.parametrize("stops_are_lost", [False, True])
def test_an_extension_inside_the_grace_is_a_new_life(definition: Definition, stops_are_lost: bool) -> None:
    lives = Lives(definition, stops_are_lost=stops_are_lost)
    contract = lives.world.rent()
    later = contract.end_at + DAY_S
    lives.at(contract.end_at + HOUR_S, lambda: lives.world.contracts.extend_contract(contract.id, owner, later))
    lives.play(contract.delete_after + 10)
    assert timeline(lives, contract) == ["pending", "active", "expired", "active", "expired"]
    lives.play(later + TERMS.grace_s + 10)
    ends_deleted(lives, contract)
    assert lives.visited(contract, run=2)[-1] == "done"
    assert (lives.visited(contract, run=1)[-1] == "stale") == stops_are_lost


@every_version
@pytest.mark.parametrize("stops_are_lost", [False, True])
@pytest.mark.parametrize("after_s", [0, 60, HOUR_S + 60])
def test_a_contract_that_is_ended_early_is_deleted_at_once(
    definition: Definition, after_s: int, stops_are_lost: bool
) -> None:
    lives = Lives(definition, stops_are_lost=stops_are_lost)
    contract = lives.world.rent()
    lives.at(lives.now + after_s, lambda: lives.world.contracts.end_contract(contract.id, client))
    lives.play(lives.now + after_s + 10)
    assert timeline(lives, contract)[-2:] == ["ending", "deleted"]
    ends_deleted(lives, contract)
    lives.play(contract.delete_after + HOUR_S)
    assert all(execution.succeeded for execution in lives.executions.values())
    assert lives.executions[(contract.id, 1)].visited[-1] in (
        ("stale", "done") if stops_are_lost else ("provision", "wait_for_end", "wait_for_deletion")
    )


@every_version
def test_a_run_that_was_never_started_is_started_by_the_sweep(definition: Definition) -> None:
    lives = Lives(definition)
    lives.world.workflows.deaf = True
    contract = lives.world.rent()
    lives.world.workflows.deaf = False
    lives.sweep_each(60)
    lives.play(contract.delete_after + 10)
    ends_deleted(lives, contract)
    assert list(lives.executions) == [(contract.id, 2)]


@every_version
def test_a_run_is_renewed_before_it_is_a_year_old(definition: Definition) -> None:
    lives = Lives(definition)
    contract = lives.world.rent()
    end_at = contract.created_at + 400 * DAY_S
    lives.world.contracts.extend_contract(contract.id, owner, end_at)
    lives.sweep_each(DAY_S)
    lives.play(contract.created_at + RENEW_AFTER_S + DAY_S)
    assert lives.visited(contract, run=1)[-1] == "wait_for_end"
    assert not lives.world.workflows.is_running(contract.id, 1)
    lives.play(end_at + TERMS.grace_s + DAY_S)
    assert timeline(lives, contract) == ["pending", "active", "expired", "deleting", "deleted"]
    ends_deleted(lives, contract)


@every_version
def test_a_run_that_was_extended_very_often_hands_over(definition: Definition) -> None:
    lives = Lives(definition)
    contract = lives.world.rent_active()
    for count in range(1, EXTENSIONS_PER_RUN + 2):
        lives.world.contracts.extend_contract(contract.id, owner, contract.end_at + count)
    later = lives.world.read(contract.id)
    assert later.run == 2
    lives.play(later.delete_after + 10)
    ends_deleted(lives, contract)
    assert lives.visited(contract, run=2)[-1] == "done"


def a_life_with_a_failure(lives: Lives) -> Contract:
    """Its first run fails at one step for good; the sweep is there."""
    contract = lives.world.rent()
    lives.sweep_each(60)
    lives.play(contract.delete_after + 2 * HOUR_S)
    return contract


@every_version
@pytest.mark.parametrize("error", ["BusyError", "Lambda.TooManyRequestsException", "Sandbox.Timedout"])
@pytest.mark.parametrize("step", ["route", "expire", "delete"])
def test_a_step_that_fails_for_good_is_made_good_by_the_next_run(definition: Definition, step: str, error: str) -> None:
    lives = Lives(definition, step=failing(step, error))
    contract = a_life_with_a_failure(lives)
    assert lives.executions[(contract.id, 1)].error == "StepInterrupted"
    assert timeline(lives, contract) == ["pending", "active", "expired", "deleting", "deleted"]
    ends_deleted(lives, contract)


@every_version
@pytest.mark.parametrize("error", ["BusyError", "Lambda.TooManyRequestsException", "Sandbox.Timedout"])
def test_a_provisioning_that_fails_for_good_is_compensated(definition: Definition, error: str) -> None:
    lives = Lives(definition, step=failing("provision", error), host="silent")
    contract = lives.world.rent()
    lives.play(lives.now + HOUR_S)
    assert timeline(lives, contract) == ["pending", "failed"]
    assert lives.visited(contract)[-3:] == ["abandon", "decide", "failed"]
    lives.world.hear(contract.id, "absent")
    assert holds_nothing(lives)


@every_version
def test_a_compensation_that_fails_for_good_is_made_good_by_the_sweep(definition: Definition) -> None:
    lives = Lives(definition, step=failing("abandon", "BusyError"), host="silent")
    contract = a_life_with_a_failure(lives)
    assert timeline(lives, contract) == ["pending", "failed"]
    lives.world.hear(contract.id, "absent")
    assert holds_nothing(lives)


@every_version
def test_a_removal_that_the_host_does_not_confirm_is_asked_for_until_it_does(definition: Definition) -> None:
    lives = Lives(definition)
    contract = lives.world.rent()
    lives.play(contract.delete_after - 1)
    lives.host = "silent"
    lives.sweep_each(60)
    lives.play(contract.delete_after + 3 * HOUR_S)
    assert lives.world.read(contract.id).status is ContractStatus.DELETING
    lives.host = "obeys"
    lives.play(contract.delete_after + 5 * HOUR_S)
    ends_deleted(lives, contract)


# An older definition, and what it would have relied on. With today's code each must be seen to fail.


def _reading(old_name: str, new_name: str) -> Callable[[Definition], Definition]:
    return lambda definition: json.loads(
        json.dumps(definition).replace(f"$states.input.{new_name}", f"$states.input.{old_name}")
    )


def _calling(old_step: str, new_step: str) -> Callable[[Definition], Definition]:
    def change(definition: Definition) -> Definition:
        older = copy.deepcopy(definition)
        older["States"][new_step]["Arguments"]["Payload"]["step"] = old_step
        return older

    return change


def _telling(old_field: str, new_field: str) -> Callable[[Definition], Definition]:
    def change(definition: Definition) -> Definition:
        older = copy.deepcopy(definition)
        for state in older["States"].values():
            payload = state.get("Arguments", {}).get("Payload", {})
            if new_field in payload:
                payload[old_field] = payload.pop(new_field)
        return older

    return change


@pytest.mark.parametrize(
    "older",
    [
        _reading("go_to", "next"),
        _reading("expires_at", "end_at"),
        _reading("kept_until", "delete_after"),
        _calling("settle", "expire"),
        _telling("contract", "contract_id"),
        _telling("token", "task_token"),
    ],
    ids=["next", "end_at", "delete_after", "step", "contract_id", "task_token"],
)
def test_a_definition_that_todays_code_no_longer_serves_is_noticed(
    older: Callable[[Definition], Definition],
) -> None:
    with pytest.raises(AssertionError):
        a_plain_life(Lives(older(load())))


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: {**answer, "next": {"state": answer["next"]}},
        lambda answer: {**answer, "next": "rest" if answer["next"] == "wait_for_end" else answer["next"]},
        lambda answer: {**answer, "end_at": 1_800_003_600},
        lambda answer: {key: value for key, value in answer.items() if key != "delete_after"},
    ],
    ids=["next as an object", "another name", "end_at as a number", "no delete_after"],
)
def test_code_whose_answers_a_released_machine_cannot_read_is_noticed(change: Callable[[Any], Any]) -> None:
    with pytest.raises(AssertionError):
        a_plain_life(Lives(load(), alter=change))


def test_an_answer_may_say_more_than_a_released_machine_reads() -> None:
    a_plain_life(Lives(load(), alter=lambda answer: {**answer, "seen_by": "a later version"}))
