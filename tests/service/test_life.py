"""The steps of an execution: each has one effect however often it runs, and none once its run is over."""

import json
from collections.abc import Callable

import pytest

from rental.domain.contract import Contract
from rental.domain.errors import NotFoundError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus
from tests.fakes.builders import TERMS
from tests.fakes.world import World, client, owner

DAY_S = 86_400


def started() -> tuple[World, Contract]:
    world = World().add_host()
    return world, world.rent()


def running() -> tuple[World, Contract]:
    world = World().add_host()
    return world, world.rent_active()


def at_end() -> tuple[World, Contract]:
    world, contract = running()
    world.clock.at = contract.end_at
    return world, contract


def at_deletion() -> tuple[World, Contract]:
    world, contract = at_end()
    world.life.expire(contract.id, 1)
    world.hear(contract.id, "stopped")
    world.clock.at = contract.delete_after
    return world, contract


def test_an_execution_is_routed_by_what_the_contract_is() -> None:
    world, contract = started()
    assert world.life.route(contract.id, 1).next == "provision"
    world.hear(contract.id, "running")
    answer = world.life.route(contract.id, 1)
    assert answer.next == "wait_for_end"
    assert (answer.end_at, answer.delete_after) == ("2027-01-15T09:00:00Z", "2027-01-17T09:00:00Z")
    world.contracts.end_contract(contract.id, client)
    assert world.life.route(contract.id, 2).next == "delete"
    world.hear(contract.id, "absent")
    assert world.life.route(contract.id, 2).next == "done"


def test_an_execution_of_an_old_run_learns_that_it_is_stale_and_changes_nothing() -> None:
    world, contract = running()
    world.contracts.end_contract(contract.id, client)
    before = world.table.items()
    assert world.life.route(contract.id, 1).next == "stale"
    assert world.life.expire(contract.id, 1).next == "stale"
    assert world.life.abandon(contract.id, 1, "late").next == "stale"
    world.life.delete(contract.id, 1, "old-token")
    assert world.answers() == [("old-token", "stale")]
    assert world.table.items() == before


def test_an_old_run_does_not_begin_what_the_current_run_will() -> None:
    world, contract = at_deletion()
    world.workflows.running.clear()
    world.clock.advance(3600)
    assert world.sweeping.sweep() == 1
    before = world.table.items()
    world.life.delete(contract.id, 1, "old-token")
    assert world.answers() == [("old-token", "stale")]
    assert world.table.items() == before


def test_a_contract_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        World().add_host().life.route(ContractId(5), 1)


def test_provision_waits_for_the_hosts_word_and_is_answered_by_it() -> None:
    world, contract = started()
    world.life.provision(contract.id, 1, "token")
    assert world.answers() == []
    world.hear(contract.id, "running")
    assert world.answers() == [("token", "wait_for_end")]


def test_provision_of_what_runs_already_is_answered_at_once() -> None:
    world, contract = running()
    world.life.provision(contract.id, 1, "token")
    assert world.answers() == [("token", "wait_for_end")]


def test_provision_is_answered_at_once_when_the_host_cannot_start_the_container() -> None:
    world, contract = started()
    world.life.provision(contract.id, 1, "token")
    world.hear(contract.id, "failed", reason="No such image.")
    assert world.read(contract.id).status is ContractStatus.FAILED
    assert world.answers() == [("token", "failed")]


def test_abandon_fails_a_contract_that_no_host_started() -> None:
    world, contract = started()
    world.life.provision(contract.id, 1, "token")
    assert world.life.abandon(contract.id, 1, "too late").next == "failed"
    assert (world.read(contract.id).status, world.read(contract.id).reason) == (ContractStatus.FAILED, "too late")
    assert world.bells.rung[-1].urgent


def test_abandon_leaves_a_contract_alone_that_runs_after_all() -> None:
    world, contract = running()
    assert world.life.abandon(contract.id, 1, "too late").next == "wait_for_end"


def test_expire_before_the_end_goes_back_to_waiting() -> None:
    world, contract = running()
    assert world.life.expire(contract.id, 1).next == "wait_for_end"
    world.contracts.extend_contract(contract.id, owner, contract.end_at + DAY_S)
    world.clock.at = contract.end_at
    answer = world.life.expire(contract.id, 1)
    assert (answer.next, answer.end_at) == ("wait_for_end", "2027-01-16T09:00:00Z")


def test_delete_before_the_promise_goes_back_to_waiting() -> None:
    world, contract = at_deletion()
    world.clock.advance(-1)
    world.life.delete(contract.id, 1, "token")
    assert world.answers() == [("token", "wait_for_deletion")]
    assert world.read(contract.id).status is ContractStatus.EXPIRED


def test_delete_waits_for_the_hosts_word_and_is_answered_by_it() -> None:
    world, contract = at_deletion()
    world.life.delete(contract.id, 1, "token")
    assert world.read(contract.id).status is ContractStatus.DELETING
    assert world.answers() == []
    world.hear(contract.id, "absent")
    assert world.answers() == [("token", "done")]
    assert not world.read(contract.id).task_tokens
    assert not world.manifest().claims


def test_a_whole_life_ends_with_nothing_held() -> None:
    world, contract = at_deletion()
    world.life.delete(contract.id, 1, "token")
    world.hear(contract.id, "absent")
    manifest = world.manifest()
    assert manifest.disk_free_bytes == manifest.capacity.disk_bytes
    assert not manifest.leases
    statuses = [
        each.status for each in world.store.list_timeline(contract.id, None, 50).items if each.instance_id is None
    ]
    assert statuses == ["pending", "active", "expired", "deleting", "deleted"]
    assert contract.delete_after - contract.end_at == TERMS.grace_s


STEPS: list[tuple[Callable[[], tuple[World, Contract]], Callable[[World, ContractId], object]]] = [
    (started, lambda world, contract_id: world.life.provision(contract_id, 1, "token")),
    (started, lambda world, contract_id: world.life.abandon(contract_id, 1, "late")),
    (at_end, lambda world, contract_id: world.life.expire(contract_id, 1)),
    (at_deletion, lambda world, contract_id: world.life.delete(contract_id, 1, "token")),
]


@pytest.mark.parametrize(("given", "step"), STEPS, ids=["provision", "abandon", "expire", "delete"])
def test_a_step_that_runs_twice_has_one_effect(
    given: Callable[[], tuple[World, Contract]], step: Callable[[World, ContractId], object]
) -> None:
    world, contract = given()
    first = step(world, contract.id)
    once, rung = world.read(contract.id), len(world.bells.rung)
    assert step(world, contract.id) == first
    again = world.read(contract.id)
    assert (again.status, again.instances, again.seq, again.task_tokens) == (
        once.status,
        once.instances,
        once.seq,
        once.task_tokens,
    )
    assert len(world.bells.rung) == rung


def test_an_answer_is_what_step_functions_reads() -> None:
    world, contract = running()
    answer = world.life.route(contract.id, 1)
    assert json.loads(answer.to_json()) == answer.__dict__
    assert set(answer.__dict__) == {"next", "end_at", "delete_after"}
