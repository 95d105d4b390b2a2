"""SSH keys of an account and of its contracts: added once, copied, and looked for when one is given up."""

from dataclasses import replace

import pytest

from rental.domain.contract import Contract, Launch
from rental.domain.errors import (
    BusyError,
    ConflictError,
    ContractExpiredError,
    IdempotencyMismatchError,
    InvalidRequestError,
    NotCurrentError,
    NotFoundError,
)
from rental.domain.key_ring import MAX_KEYS, NamedKey
from rental.domain.letting_in import UNDER_WAY
from rental.ports import Principal
from rental.service.machines import Fetched
from rental.service.repeating import Repeatable
from rental.service.ssh_keys import CONTRACTS_AT_A_TIME
from tests.fakes.builders import DIRECT, HOST
from tests.fakes.ssh import make_line
from tests.fakes.tables import put_lone_contracts
from tests.fakes.world import World, client, decode_command, owner, stranger

ONCE, OTHER = Repeatable("key", b"this"), Repeatable("key", b"that")
SSH = Launch("alpine:3", mode="ssh")


def serving(gpus: int = 4) -> World:
    """A world whose host can be reached over ssh."""
    return World().add_host(gpus, direct=DIRECT)


def add(world: World, number: int, who: Principal = client, repeatable: Repeatable | None = None) -> NamedKey:
    return world.ssh_keys.add_ssh_key(who, f"key {number}", make_line(number), repeatable)


def rent_ssh(world: World, *keys: str) -> Contract:
    return world.rent_active(launch=SSH, ssh_keys=keys or None)


def fetched(world: World, contract: Contract) -> Fetched:
    instance = world.read(contract.id).instances[0]
    return world.machines.fetch(HOST, contract.id, instance.id, (instance.generation, instance.token or 0))


def test_keys_are_listed_for_their_account_oldest_first_and_by_pages() -> None:
    world = World()
    keys = []
    for number in (3, 1, 2):
        keys.append(add(world, number))
        world.clock.advance(1)
    add(world, 1, stranger)
    assert world.ssh_keys.list_ssh_keys(client, None, 50).items == keys
    first = world.ssh_keys.list_ssh_keys(client, None, 2)
    assert first.items == keys[:2]
    world.ssh_keys.remove_ssh_key(client, keys[1].id)  # where the page ended
    last = world.ssh_keys.list_ssh_keys(client, first.next, 2)
    assert (last.items, last.next) == ([keys[2]], None)
    assert world.ssh_keys.list_ssh_keys(owner, None, 50).items == []


@pytest.mark.parametrize("cursor", ["", "x", "0-0", "1" * 10 + "-" + "z" * 64])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="cursor"):
        World().ssh_keys.list_ssh_keys(client, cursor, 50)


def test_a_seventeenth_key_and_the_same_one_again_are_refused() -> None:
    world = World()
    for number in range(MAX_KEYS):
        add(world, number)
    for number in (0, 99):
        with pytest.raises(ConflictError):
            add(world, number)
    assert len(world.ssh_keys.list_ssh_keys(client, None, 50).items) == MAX_KEYS


def test_a_repeated_addition_answers_the_key_that_the_first_one_made() -> None:
    world = World()
    key = add(world, 1, repeatable=ONCE)
    world.clock.advance(5)
    assert add(world, 1, repeatable=ONCE) == key
    with pytest.raises(IdempotencyMismatchError):
        add(world, 2, repeatable=OTHER)
    world.ssh_keys.remove_ssh_key(client, key.id)
    with pytest.raises(NotFoundError):
        add(world, 1, repeatable=ONCE)


def test_keys_survive_conflicts_and_lost_answers_and_give_up_after_eight() -> None:
    world = World()
    world.faults.extend(["lost", "conflict"])
    key = add(world, 1, repeatable=ONCE)
    world.faults.extend(["lost", "conflict"])
    assert world.ssh_keys.remove_ssh_key(client, key.id).key == key
    world.faults.extend(["conflict"] * 8)
    with pytest.raises(BusyError):
        add(world, 2)
    assert world.ssh_keys.list_ssh_keys(client, None, 50).items == []


def test_a_contract_copies_its_accounts_keys_and_what_is_added_later_does_not_get_in() -> None:
    world = serving()
    add(world, 1)
    add(world, 2, stranger)
    contract = rent_ssh(world)
    add(world, 3)
    assert contract.launch.ssh_keys == (make_line(1),)
    assert rent_ssh(world).launch.ssh_keys == (make_line(1), make_line(3))
    assert rent_ssh(world, make_line(9)).launch.ssh_keys == (make_line(9),)
    assert world.rent().launch.ssh_keys == ()


def test_mode_ssh_without_a_key_is_refused_and_nothing_is_rented() -> None:
    world = serving()
    before = world.table.items()
    with pytest.raises(ConflictError, match="POST /v1/ssh-keys"):
        world.rent(launch=SSH)
    with pytest.raises(InvalidRequestError):
        world.rent(launch=SSH, ssh_keys=("no key",))
    assert world.table.items() == before


def test_who_gives_a_key_up_learns_which_contracts_let_it_in_still() -> None:
    world = serving(8)
    key = add(world, 1)
    copied, given, replaced, over = (rent_ssh(world, *lines) for lines in ((), (make_line(1, "me"),), (), ()))
    rent_ssh(world, make_line(2))
    world.rent_active()
    world.contracts.replace_ssh_keys(replaced.id, client, [make_line(2)])
    world.contracts.end_contract(over.id, client)
    removed = world.ssh_keys.remove_ssh_key(client, key.id)
    assert (removed.key, set(removed.contract_ids)) == (key, {copied.id, given.id})
    with pytest.raises(NotFoundError):
        world.ssh_keys.remove_ssh_key(client, key.id)


def test_anothers_key_is_not_found_and_stays() -> None:
    world = World()
    key = add(world, 1)
    with pytest.raises(NotFoundError):
        world.ssh_keys.remove_ssh_key(stranger, key.id)
    assert world.ssh_keys.list_ssh_keys(client, None, 50).items == [key]


def test_of_more_contracts_than_a_page_holds_none_is_missed() -> None:
    world = World()
    key = add(world, 1)
    rented = range(1000, 1000 + 2 * CONTRACTS_AT_A_TIME + 1)
    put_lone_contracts(world.table, rented, launch=replace(SSH, ssh_keys=(key.line,)))
    assert world.ssh_keys.remove_ssh_key(client, key.id).contract_ids == tuple(rented)


def test_replaced_keys_are_commanded_and_fetched_under_the_same_lease() -> None:
    world = serving()
    contract = rent_ssh(world, make_line(1))
    before = fetched(world, contract)
    assert before.ssh_keys == (make_line(1),)
    changed = world.contracts.replace_ssh_keys(contract.id, client, [make_line(2)])
    bell = world.bells.rung[-1]
    assert (bell.contract_id, bell.generation) == (contract.id, 2)
    world.dispatching.dispatch(HOST, [bell])
    (order,) = decode_command(world.commands.sent[-1][1])["orders"]
    assert (order["desired"], order["generation"], order["keys_revision"]) == ("running", 2, 1)
    assert order["token"] == contract.instances[0].token
    assert fetched(world, contract) == replace(before, ssh_keys=(make_line(2),))
    with pytest.raises(NotCurrentError):
        world.machines.fetch(HOST, contract.id, contract.instances[0].id, (1, order["token"]))
    assert changed.instances[0].reason == UNDER_WAY
    world.hear(contract.id, "running")
    assert world.read(contract.id).instances[0].reason is None


def test_the_same_keys_again_write_and_ring_nothing() -> None:
    world = serving()
    contract = rent_ssh(world, make_line(1))
    world.contracts.replace_ssh_keys(contract.id, client, [make_line(2)])
    before, rung = world.table.items(), len(world.bells.rung)
    world.contracts.replace_ssh_keys(contract.id, client, [make_line(2)])
    assert (world.table.items(), len(world.bells.rung)) == (before, rung)


def test_keys_are_replaced_by_the_contracts_client_alone() -> None:
    world = serving()
    contract = rent_ssh(world, make_line(1))
    for who in (stranger, owner):
        with pytest.raises(NotFoundError):
            world.contracts.replace_ssh_keys(contract.id, who, [make_line(2)])
    assert world.read(contract.id).launch.ssh_keys == (make_line(1),)


def test_an_expired_contract_takes_no_keys_until_it_is_extended() -> None:
    world = serving()
    contract = rent_ssh(world, make_line(1))
    world.clock.at = contract.end_at
    with pytest.raises(ContractExpiredError):
        world.contracts.replace_ssh_keys(contract.id, client, [])
    world.contracts.extend_contract(contract.id, owner, contract.end_at + 100)
    assert world.contracts.replace_ssh_keys(contract.id, client, []).launch.ssh_keys == ()


def test_a_replacement_survives_conflicts_and_lost_answers_and_is_one() -> None:
    world = serving()
    contract = rent_ssh(world, make_line(1))
    world.faults.extend(["lost", "conflict", "conflict"])
    changed = world.contracts.replace_ssh_keys(contract.id, client, [make_line(2)])
    assert (changed.launch.keys_revision, changed.instances[0].generation) == (1, 2)
