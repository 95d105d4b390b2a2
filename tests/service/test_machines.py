"""Machines: registered once, given secrets only for what is wanted running now."""

from dataclasses import replace

import pytest

from rental.domain.contract import Contract
from rental.domain.errors import (
    BusyError,
    ContractExpiredError,
    ContractOverError,
    HostRetiredError,
    InvalidRequestError,
    NotCurrentError,
    UnauthenticatedError,
)
from rental.domain.host import HostStatus
from rental.domain.ids import HostId, InstanceId
from rental.ports import GuardFailedError
from rental.service.hosts import REGISTRATION_S
from rental.service.machines import Fetched
from tests.fakes.builders import HOST, make_inventory, rent
from tests.fakes.machine import Machine
from tests.fakes.world import World, client, owner


def admitted(world: World) -> tuple[str, HostId]:
    """A host whose agent has joined; its registration token."""
    admission = world.hosts.add_host(owner, "rack 1")
    world.nodes.joined[admission.activation.activation_id] = "mi-1"
    return admission.registration_token, admission.host.id


def test_a_machine_becomes_a_host_with_the_node_that_ssm_names() -> None:
    world = World()
    token, host_id = admitted(world)
    host = world.machines.register(token, world.machine.key, make_inventory())
    assert (host.id, host.status, host.node_id, host.machine_key) == (
        host_id,
        HostStatus.ACTIVE,
        "mi-1",
        world.machine.key,
    )
    manifest = world.store.read_manifest(host_id)
    assert manifest is not None
    assert (manifest.disk_free_bytes, manifest.listing) == (manifest.capacity.disk_bytes, None)


def test_a_machine_with_gpus_of_several_models_becomes_no_host() -> None:
    """A listing has one price and shows one name."""
    world = World()
    token, host_id = admitted(world)
    uniform = make_inventory()
    mixed = replace(uniform, gpus=(replace(uniform.gpus[0], name="Other GPU"), *uniform.gpus[1:]))
    with pytest.raises(InvalidRequestError, match=r"1 x Other GPU with 80 GiB, 3 x Test GPU with 80 GiB"):
        world.machines.register(token, world.machine.key, mixed)
    assert world.store.read_manifest(host_id) is None
    assert world.machines.register(token, world.machine.key, uniform).id == host_id, "once the other was taken out"


def test_the_same_machine_may_repeat_its_registration_also_later() -> None:
    world = World()
    token, _ = admitted(world)
    first = world.machines.register(token, world.machine.key, make_inventory())
    world.clock.advance(REGISTRATION_S + 1)
    again = world.machines.register(token, world.machine.key, make_inventory(8))
    assert (again.id, again.machine_key) == (first.id, first.machine_key)


def test_another_machine_cannot_use_a_token_again() -> None:
    world = World()
    token, _ = admitted(world)
    world.machines.register(token, world.machine.key, make_inventory())
    with pytest.raises(UnauthenticatedError):
        world.machines.register(token, Machine(HOST).key, make_inventory())


@pytest.mark.parametrize("spoil", ["", ".", "7", "7.", "x.y", "²³.y", "9" * 40 + ".y", "-1.y", "7.wrong", "\u0661.y"])
def test_a_token_that_was_never_given_out_is_refused(spoil: str) -> None:
    world = World().add_host()
    with pytest.raises(UnauthenticatedError):
        world.machines.register(spoil, world.machine.key, make_inventory())


def test_the_secret_of_one_host_does_not_register_another() -> None:
    world = World()
    (_, first), (token, _) = admitted(world), admitted(world)
    with pytest.raises(UnauthenticatedError):
        world.machines.register(f"{first}.{token.partition('.')[2]}", world.machine.key, make_inventory())


def test_a_registration_expires_after_an_hour() -> None:
    world = World()
    token, _ = admitted(world)
    world.clock.advance(REGISTRATION_S)
    with pytest.raises(UnauthenticatedError):
        world.machines.register(token, world.machine.key, make_inventory())


def test_a_machine_whose_agent_is_not_there_yet_is_told_to_wait() -> None:
    world = World()
    token, host_id = admitted(world)
    world.nodes.joined.clear()
    with pytest.raises(BusyError):
        world.machines.register(token, world.machine.key, make_inventory())
    assert world.store.read_manifest(host_id) is None


def test_the_registration_secret_is_not_stored() -> None:
    world = World()
    token, _ = admitted(world)
    assert token.partition(".")[2] not in str(world.table.items())


def fetch(world: World, contract: Contract, generation: int | None = None, token: int | None = None) -> object:
    instance = world.read(contract.id).instances[0]
    order = (generation or instance.generation, token or instance.token or 1)
    return world.machines.fetch(HOST, contract.id, instance.id, order)


def test_secrets_are_given_for_what_is_wanted_running_now() -> None:
    world = World().add_host()
    contract = world.rent()
    assert contract.launch.sealed is not None
    assert fetch(world, contract) == Fetched(contract.launch.sealed, ())
    world.hear(contract.id, "running")
    assert fetch(world, contract) == Fetched(contract.launch.sealed, ())


def test_secrets_are_not_given_for_another_generation_token_instance_or_host() -> None:
    world = World().add_host()
    contract = world.rent_active()
    for generation, token in ((2, 1), (1, 2)):
        with pytest.raises(NotCurrentError):
            fetch(world, contract, generation, token)
    for host_id, instance_id in ((HostId(8), contract.instances[0].id), (HOST, InstanceId(1))):
        with pytest.raises(NotCurrentError):
            world.machines.fetch(host_id, contract.id, instance_id, (1, 1))


def test_secrets_are_not_given_for_what_is_stopped_expired_or_over() -> None:
    world = World().add_host()
    stopped, expired, over = (world.rent_active() for _ in range(3))
    world.contracts.stop_contract(stopped.id, client, None)
    world.contracts.end_contract(over.id, client)
    with pytest.raises(NotCurrentError):
        fetch(world, stopped)
    with pytest.raises(ContractOverError):
        fetch(world, over)
    world.clock.at = expired.end_at
    with pytest.raises(ContractExpiredError):
        fetch(world, expired)


def test_secrets_are_not_given_for_what_waits_while_its_old_lease_comes_back() -> None:
    world = World().add_host(gpus=1)
    first = world.rent_active()
    world.contracts.stop_contract(first.id, client, None)
    world.hear(first.id, "stopped")
    second = world.rent_active()
    world.contracts.start_contract(first.id, client, None)
    world.contracts.stop_contract(second.id, client, None)
    world.contracts.start_contract(second.id, client, None)
    with pytest.raises(NotCurrentError):
        fetch(world, world.read(second.id))
    assert [each["desired"] for each in world.machines.manifest(HOST).orders] == ["stopped", "stopped"]


def test_the_manifest_lists_every_order_and_nothing_that_is_gone() -> None:
    world = World().add_host()
    kept, gone = world.rent_active(), world.rent_active()
    world.contracts.end_contract(gone.id, client)
    assert [each["desired"] for each in world.machines.manifest(HOST).orders] == ["running", "absent"]
    world.hear(gone.id, "absent")
    assert [each["contract_id"] for each in world.machines.manifest(HOST).orders] == [kept.id]
    with pytest.raises(NotCurrentError):
        world.machines.manifest(HostId(99))


def test_two_machines_that_register_at_once_do_not_both_become_the_host() -> None:
    world = World()
    token, host_id = admitted(world)
    world.faults.append("conflict")
    with pytest.raises(BusyError):
        world.machines.register(token, world.machine.key, make_inventory())
    host = world.store.read_host(host_id)
    assert host is not None
    assert host == replace(host, machine_key=None)


def test_a_new_key_is_the_only_one_from_then_on_and_new_contracts_are_sealed_to_it() -> None:
    world = World().add_host()
    old, new = world.rent(), Machine(HOST).key
    assert world.replace_key(new).machine_key == new
    host = world.store.read_host(HOST)
    assert host is not None
    assert host.machine_key == new
    assert sealed_to(world.rent()) == new.key_id
    assert sealed_to(world.read(old.id)) == world.machine.key.key_id


def test_a_key_that_is_sent_again_changes_nothing() -> None:
    world = World().add_host()
    new = Machine(HOST).key
    world.replace_key(new)
    before = world.store.read_host(HOST)
    assert world.replace_key(new) == before
    assert world.machines.rotate_key(HOST, new, world.machine.key.key_id) == before


def test_the_manifest_names_every_key_to_which_something_is_still_sealed() -> None:
    world = World().add_host()
    old = world.rent_active()
    world.replace_key()
    new = world.rent_active()
    assert world.machines.manifest(HOST).sealed_key_ids == sorted([sealed_to(old), sealed_to(new)])
    world.contracts.end_contract(old.id, client)
    assert world.machines.manifest(HOST).sealed_key_ids == [sealed_to(new)]


def test_who_was_sealing_to_the_old_key_seals_again() -> None:
    """The rental has read the manifest; the key is replaced before it commits."""
    world = World().add_host()
    before = world.ledger.open_book(HOST)
    world.replace_key()
    with pytest.raises(GuardFailedError):
        world.store.commit(before, rent(before, now=world.clock.now()))


def test_a_key_for_a_host_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotCurrentError):
        World().machines.rotate_key(HOST, Machine(HOST).key, "0" * 16)


def test_a_key_that_was_replaced_replaces_none() -> None:
    """Two machines have the old key, and both were verified by it; the second comes when the first is in force."""
    world = World().add_host()
    old, mine, theirs = world.machine.key, Machine(HOST).key, Machine(HOST).key
    world.machines.rotate_key(HOST, mine, old.key_id)
    with pytest.raises(UnauthenticatedError):
        world.machines.rotate_key(HOST, theirs, old.key_id)
    host = world.store.read_host(HOST)
    assert host is not None
    assert host.machine_key == mine


def test_a_retired_host_is_not_registered_again() -> None:
    world = World()
    token, host_id = admitted(world)
    world.machines.register(token, world.machine.key, make_inventory())
    world.retiring.retire_host(host_id, owner, HostStatus.REVOKED)
    with pytest.raises(HostRetiredError):
        world.machines.register(token, world.machine.key, make_inventory())


def sealed_to(contract: Contract) -> str:
    assert contract.launch.sealed is not None
    return contract.launch.sealed.key_id
