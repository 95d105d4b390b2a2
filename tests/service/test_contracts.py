"""What clients and owners may do with a contract, and what they may not see."""

from collections.abc import Callable

import pytest

from rental.domain.errors import BusyError, ContractExpiredError, ContractOverError, NotFoundError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, InstanceStatus
from rental.ports import Principal
from tests.fakes.world import World, client, owner, stranger

Deed = Callable[[World, ContractId, Principal], object]
DEEDS: dict[str, Deed] = {
    "show": lambda world, contract_id, who: world.contracts.show_contract(contract_id, who),
    "events": lambda world, contract_id, who: world.contracts.list_timeline(contract_id, who, None, 10),
    "start": lambda world, contract_id, who: world.contracts.start_contract(contract_id, who, None),
    "stop": lambda world, contract_id, who: world.contracts.stop_contract(contract_id, who, None),
    "reboot": lambda world, contract_id, who: world.contracts.reboot_contract(contract_id, who, None),
    "end": lambda world, contract_id, who: world.contracts.end_contract(contract_id, who),
    "extend": lambda world, contract_id, who: world.contracts.extend_contract(contract_id, who, 1 << 32),
}
CLIENTS_OWN = ("start", "stop", "reboot", "end")


@pytest.mark.parametrize("deed", DEEDS)
def test_anothers_contract_is_not_found_and_not_changed(deed: str) -> None:
    world = World().add_host()
    contract = world.rent_active()
    before = world.table.items()
    with pytest.raises(NotFoundError):
        DEEDS[deed](world, contract.id, stranger)
    with pytest.raises(NotFoundError):
        DEEDS[deed](world, ContractId(1), client)
    assert world.table.items() == before


@pytest.mark.parametrize("deed", CLIENTS_OWN)
def test_the_owner_of_the_host_does_not_act_for_the_client(deed: str) -> None:
    world = World().add_host()
    contract = world.rent_active()
    with pytest.raises(NotFoundError):
        DEEDS[deed](world, contract.id, owner)


def test_the_client_does_not_extend_its_own_contract() -> None:
    world = World().add_host()
    contract = world.rent_active()
    with pytest.raises(NotFoundError):
        world.contracts.extend_contract(contract.id, client, contract.end_at + 100)


def test_the_owner_of_the_host_sees_the_contracts_on_it() -> None:
    world = World().add_host()
    contract = world.rent_active()
    assert world.contracts.show_contract(contract.id, owner).id == contract.id


def test_contracts_are_listed_for_their_account() -> None:
    world = World().add_host()
    contract = world.rent()
    assert [each.id for each in world.contracts.list_contracts(client, None, 10).items] == [contract.id]
    assert world.contracts.list_contracts(stranger, None, 10).items == []


def test_an_early_end_starts_a_new_run_and_stops_the_old_one() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.end_contract(contract.id, client)
    assert world.workflows.started[-1] == (contract.id, 2)
    assert world.workflows.stopped == [(contract.id, 1)]


def test_an_extension_before_the_end_lets_the_execution_wait_on() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.extend_contract(contract.id, owner, contract.end_at + 100)
    assert world.workflows.stopped == []
    assert world.read(contract.id).end_at == contract.end_at + 100


def test_an_extension_within_the_grace_starts_a_new_run() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.clock.at = contract.end_at + 5
    world.life.expire(contract.id, 1)
    world.contracts.extend_contract(contract.id, owner, contract.end_at + 100)
    assert world.workflows.started[-1] == (contract.id, 2)
    assert world.read(contract.id).status is ContractStatus.ACTIVE


def test_an_extension_that_races_the_deletion_either_saves_the_data_or_is_refused() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.clock.at = contract.end_at
    world.life.expire(contract.id, 1)
    world.clock.at = contract.delete_after
    world.life.delete(contract.id, 1, "token")
    with pytest.raises(ContractOverError):
        world.contracts.extend_contract(contract.id, owner, contract.delete_after + 100)


def test_an_expired_contract_is_not_started_also_when_no_execution_has_expired_it() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None)
    world.hear(contract.id, "stopped")
    world.clock.at = contract.end_at
    with pytest.raises(ContractExpiredError):
        world.contracts.start_contract(contract.id, client, None)


def test_a_change_survives_conflicts_and_lost_answers_and_gives_up_after_eight() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.faults.extend(["lost", "conflict", "conflict"])
    world.contracts.stop_contract(contract.id, client, None)
    assert world.read(contract.id).instances[0].status is InstanceStatus.STOPPING
    assert world.read(contract.id).instances[0].generation == 2
    world.faults.extend(["conflict"] * 8)
    with pytest.raises(BusyError):
        world.contracts.end_contract(contract.id, client)
    assert world.read(contract.id).status is ContractStatus.ACTIVE
