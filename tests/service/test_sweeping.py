"""The sweep starts what is late and has no execution, and wakes whose answer was lost."""

from rental.domain.contract import EXTENSIONS_PER_RUN, RENEW_AFTER_S
from rental.domain.lifecycle import ContractStatus
from rental.service.ledger import ATTEMPTS
from rental.service.sweeping import LATE_S
from tests.fakes.builders import TERMS
from tests.fakes.world import World, client, owner

YEAR_S = 365 * 86_400


def test_what_is_in_time_is_left_alone() -> None:
    world = World().add_host()
    world.rent()
    world.clock.advance(LATE_S - 1)
    assert world.sweeping.sweep() == 0


def test_a_contract_whose_start_was_lost_gets_a_new_run() -> None:
    world = World().add_host()
    world.workflows.deaf = True
    contract = world.rent()
    world.workflows.deaf = False
    world.clock.advance(LATE_S)
    assert world.sweeping.sweep() == 1
    assert world.read(contract.id).run == 2
    assert world.workflows.started == [(contract.id, 2)]
    assert world.sweeping.sweep() == 0


def test_what_is_late_but_has_an_execution_is_left_to_it() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.clock.at = contract.end_at + LATE_S
    assert world.sweeping.sweep() == 0
    assert world.read(contract.id).run == 1


def test_one_contract_that_cannot_be_resumed_now_does_not_keep_the_others_waiting() -> None:
    world = World().add_host()
    world.workflows.deaf = True
    first, second = world.rent(), world.rent()
    world.workflows.deaf = False
    world.clock.advance(LATE_S)
    world.faults.extend(["conflict"] * ATTEMPTS)
    assert world.sweeping.sweep() == 1
    assert sorted(world.read(each.id).run for each in (first, second)) == [1, 2]
    assert world.sweeping.sweep() == 1


def test_an_end_that_nobody_carried_out_is_resumed() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.workflows.running.clear()
    world.clock.at = contract.end_at + LATE_S
    assert world.sweeping.sweep() == 1
    assert world.life.expire(contract.id, 2).next == "wait_for_deletion"
    world.workflows.running.clear()
    world.clock.at = contract.delete_after + LATE_S
    assert world.sweeping.sweep() == 1


def test_a_removal_that_no_host_confirms_is_asked_for_again_by_a_new_run() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.end_contract(contract.id, client)
    world.life.delete(contract.id, 2, "token")
    world.workflows.running.clear()
    world.clock.advance(LATE_S)
    assert world.sweeping.sweep() == 0
    world.clock.advance(3600)
    assert world.sweeping.sweep() == 1
    assert world.read(contract.id).run == 3


def test_a_busy_host_does_not_keep_the_others_from_being_swept() -> None:
    world = World().add_host()
    first, second = world.rent_active(), world.rent_active()
    world.workflows.running.clear()
    world.clock.at = first.end_at + LATE_S
    world.faults.extend(["conflict"] * 8)
    assert world.sweeping.sweep() == 1
    assert sorted(world.read(each.id).run for each in (first, second)) == [1, 2]


def test_a_resumed_contract_is_rung_again() -> None:
    world = World().add_host()
    contract = world.rent()
    world.workflows.running.clear()
    world.clock.advance(LATE_S)
    assert world.sweeping.sweep() == 1
    assert [bell.contract_id for bell in world.bells.rung] == [contract.id, contract.id]


def test_a_task_whose_answer_was_lost_is_woken() -> None:
    world = World().add_host()
    contract = world.rent()
    world.life.provision(contract.id, 1, "token")
    world.hear(contract.id, "running")
    world.tasks.answered.clear()
    world.clock.at = contract.end_at + LATE_S
    world.sweeping.sweep()
    assert world.answers() == [("token", "wait_for_end")]


def test_after_a_disaster_every_contract_that_is_not_over_is_resumed() -> None:
    world = World().add_host()
    active, pending, over = world.rent_active(), world.rent(), world.rent_active()
    world.contracts.end_contract(over.id, client)
    world.hear(over.id, "absent")
    world.workflows.running.clear()
    assert world.sweeping.sweep(late_s=-(10**9)) == 2
    assert [world.read(each.id).run for each in (active, pending, over)] == [2, 2, 2]


def test_what_no_host_started_in_time_fails_and_its_execution_is_told() -> None:
    world = World().add_host()
    contract = world.rent()
    world.life.provision(contract.id, 1, "token")
    world.clock.advance(TERMS.provision_timeout_s + LATE_S)
    assert world.sweeping.sweep() == 0
    assert world.read(contract.id).status is ContractStatus.FAILED
    assert world.answers() == [("token", "failed")]
    assert world.bells.rung[-1].urgent
    world.clock.advance(10**6)
    assert world.sweeping.sweep() == 0


def test_what_the_host_waited_for_is_named_when_its_time_is_over() -> None:
    """Its client sees whose fault it was: nothing ran, and nothing is to be paid."""
    world = World().add_host()
    swept, stepped = world.rent(), world.rent()
    for contract in (swept, stepped):
        world.hear(contract.id, "loading", generation=0, reason="NVIDIA's driver does not answer.")
    said = "The host did not start the containers in time. It said: NVIDIA's driver does not answer."
    world.life.abandon(stepped.id, 1, None)
    assert (world.read(stepped.id).status, world.read(stepped.id).reason) == (ContractStatus.FAILED, said)
    world.clock.advance(TERMS.provision_timeout_s + LATE_S)
    world.sweeping.sweep()
    assert (world.read(swept.id).status, world.read(swept.id).reason) == (ContractStatus.FAILED, said)


def test_a_run_is_renewed_before_an_execution_may_last_no_longer() -> None:
    world = World().add_host()
    rented = world.rent_active()
    contract = world.contracts.extend_contract(rented.id, owner, rented.created_at + 3 * YEAR_S)
    for run in (2, 3):
        world.clock.advance(RENEW_AFTER_S)
        assert world.sweeping.sweep() == 0
        world.clock.advance(LATE_S)
        assert world.sweeping.sweep() == 1
        assert world.sweeping.sweep() == 0
        assert world.read(contract.id).run == run
        assert world.workflows.running == {(contract.id, run)}
        assert world.life.route(contract.id, run).next == "wait_for_end"
        assert world.life.expire(contract.id, run - 1).next == "stale"
    assert world.clock.now() - contract.created_at < 2 * YEAR_S
    assert world.read(contract.id).instances == contract.instances


def test_a_renewed_run_ends_the_contract_at_its_end() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.extend_contract(contract.id, owner, contract.created_at + YEAR_S)
    world.clock.at = contract.created_at + RENEW_AFTER_S + LATE_S
    world.sweeping.sweep()
    world.clock.at = contract.created_at + YEAR_S
    assert world.life.expire(contract.id, 2).next == "wait_for_deletion"
    assert world.sweeping.sweep() == 0


def test_a_run_is_renewed_before_its_execution_has_too_many_events() -> None:
    world = World().add_host()
    contract = world.rent_active()
    for more in range(1, EXTENSIONS_PER_RUN):
        world.contracts.extend_contract(contract.id, owner, contract.end_at + more)
    assert world.read(contract.id).run == 1
    last = world.contracts.extend_contract(contract.id, owner, contract.end_at + EXTENSIONS_PER_RUN)
    assert (last.run, last.extended) == (2, 0)
    assert world.workflows.running == {(contract.id, 2)}
