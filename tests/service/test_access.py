"""Accounts and keys: who makes and revokes which, and that a key is kept as a hash only."""

import pytest

from rental.domain.access import Role, key_id_of
from rental.domain.errors import (
    AlreadyDoneError,
    BusyError,
    ConflictError,
    ForbiddenError,
    IdempotencyMismatchError,
    NotFoundError,
)
from rental.ports import Principal
from rental.service.access import IssuedKey
from rental.service.repeating import Repeatable
from tests.fakes.world import World, admin, client, owner, stranger

ONCE = Repeatable("key", b"this")
OTHER = Repeatable("key", b"that")


def issue(world: World, who: Principal = client, repeatable: Repeatable | None = None) -> IssuedKey:
    return world.access.issue_key(who, who.account, Role(who.role), "laptop", repeatable)


def test_a_new_key_lets_its_account_in_and_is_kept_as_a_hash_only() -> None:
    world = World()
    issued = issue(world)
    assert world.store.read_principal(key_id_of(issued.secret)) == client
    assert issued.secret not in str(world.table.items())
    assert issued.secret not in repr(issued)


def test_a_revoked_key_lets_nobody_in() -> None:
    world = World()
    issued = issue(world)
    assert world.access.revoke_key(client, issued.key.id) == issued.key
    assert world.store.read_principal(issued.key.id) is None
    with pytest.raises(NotFoundError):
        world.access.revoke_key(client, issued.key.id)


def test_keys_are_listed_for_their_account_oldest_first() -> None:
    world = World()
    first = issue(world)
    world.clock.advance(1)
    second = issue(world)
    issue(world, stranger)
    assert world.access.list_keys(client, None, None, 10).items == [first.key, second.key]


def test_contracts_and_keys_of_one_account_are_listed_apart() -> None:
    world = World().add_host()
    contract, issued = world.rent(), issue(world)
    assert [each.id for each in world.contracts.list_contracts(client, None, 10).items] == [contract.id]
    assert world.access.list_keys(client, None, None, 10).items == [issued.key]


def test_anothers_keys_are_neither_listed_nor_revoked() -> None:
    world = World()
    key_id = issue(world).key.id
    with pytest.raises(NotFoundError):
        world.access.list_keys(stranger, client.account, None, 10)
    with pytest.raises(NotFoundError):
        world.access.revoke_key(stranger, key_id)
    assert world.store.read_principal(key_id) == client


def test_a_key_makes_keys_of_its_own_account_and_role_only() -> None:
    world = World()
    with pytest.raises(ForbiddenError):
        world.access.issue_key(client, owner.account, Role.CLIENT, "", None)
    for role in (Role.HOST, Role.ADMIN):
        with pytest.raises(ForbiddenError):
            world.access.issue_key(client, client.account, role, "", None)


def test_a_key_does_not_revoke_its_accounts_key_of_another_role() -> None:
    world = World()
    issued = world.access.issue_key(admin, admin.account, Role.ADMIN, "", None)
    with pytest.raises(ForbiddenError):
        world.access.revoke_key(Principal(admin.account, "client"), issued.key.id)


def test_an_administrator_manages_the_keys_of_every_account_there_is() -> None:
    world = World()
    with pytest.raises(NotFoundError):
        world.access.issue_key(admin, "acme", Role.HOST, "", None)
    with pytest.raises(NotFoundError):
        world.access.list_keys(admin, "acme", None, 10)
    world.access.open_account(admin, "acme", "Acme Inc.", None)
    issued = world.access.issue_key(admin, "acme", Role.HOST, "rack", None)
    assert world.store.read_principal(issued.key.id) == Principal("acme", "host")
    assert world.access.list_keys(admin, "acme", None, 10).items == [issued.key]
    world.access.revoke_key(admin, issued.key.id)
    assert world.access.list_keys(admin, "acme", None, 10).items == []


def test_an_account_is_opened_once_under_its_name() -> None:
    world = World()
    account = world.access.open_account(admin, "acme", "Acme Inc.", None)
    with pytest.raises(ConflictError):
        world.access.open_account(admin, "acme", "another", None)
    assert world.access.list_accounts(None, 10).items == [account]


def test_a_repeated_opening_answers_the_account_that_the_first_one_made() -> None:
    world = World()
    account = world.access.open_account(admin, "acme", "", ONCE)
    world.clock.advance(5)
    assert world.access.open_account(admin, "acme", "", ONCE) == account
    with pytest.raises(IdempotencyMismatchError):
        world.access.open_account(admin, "acme", "other", OTHER)


def test_a_repeated_request_for_a_key_makes_no_second_one_and_names_the_first() -> None:
    world = World()
    issued = issue(world, repeatable=ONCE)
    with pytest.raises(AlreadyDoneError, match=issued.key.id):
        issue(world, repeatable=ONCE)
    with pytest.raises(IdempotencyMismatchError):
        issue(world, repeatable=OTHER)
    assert world.access.list_keys(client, None, None, 10).items == [issued.key]


def test_keys_and_accounts_survive_conflicts_and_lost_answers_and_give_up_after_eight() -> None:
    world = World()
    world.faults.extend(["lost", "conflict"])
    issued = issue(world, repeatable=ONCE)
    world.faults.extend(["lost", "conflict"])
    world.access.open_account(admin, "acme", "", ONCE)
    world.faults.extend(["lost", "conflict"])
    world.access.revoke_key(client, issued.key.id)
    world.faults.extend(["conflict"] * 8)
    with pytest.raises(BusyError):
        issue(world)
