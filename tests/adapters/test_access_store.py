"""Accounts and keys over both twins of the table."""

from dataclasses import replace

import pytest

from rental.adapters.access_store import ItemAccessStore
from rental.adapters.items import Guarded, memo_key, principal_key
from rental.adapters.store import ItemStore, Table
from rental.domain.access import Account, ApiKey, Role
from rental.ports import GuardFailedError, Memo, Principal, TakenError
from tests.fakes.builders import CLIENT
from tests.fakes.ports import NOW
from tests.fakes.tables import Repeating, put_lone_contracts

KEY = ApiKey("a" * 64, CLIENT, Role.CLIENT, "laptop", NOW)
ACCOUNT = Account("acme", "Acme Inc.", NOW)
MEMO = Memo(CLIENT, "once", "hash", "made", NOW, NOW + 100)


@pytest.fixture
def access(table: Table, store: ItemStore) -> ItemAccessStore:
    return ItemAccessStore(table, store.new_commit_id)


def test_a_key_is_read_and_lets_in_until_it_is_deleted(access: ItemAccessStore, store: ItemStore) -> None:
    access.create_key(KEY, None)
    assert access.read_key(KEY.id) == KEY
    assert store.read_principal(KEY.id) == Principal(CLIENT, "client")
    access.delete_key(KEY.id)
    assert access.read_key(KEY.id) is None
    assert store.read_principal(KEY.id) is None
    access.delete_key(KEY.id)


def test_what_exists_is_not_made_again(access: ItemAccessStore) -> None:
    access.create_account(ACCOUNT, None)
    access.create_key(KEY, None)
    with pytest.raises(TakenError):
        access.create_account(replace(ACCOUNT, label="another"), None)
    with pytest.raises(TakenError):
        access.create_key(replace(KEY, role=Role.ADMIN), None)
    assert access.read_account("acme") == ACCOUNT
    assert access.read_key(KEY.id) == KEY


def test_a_used_idempotency_key_lets_nothing_be_made(access: ItemAccessStore) -> None:
    access.create_key(KEY, MEMO)
    assert access.read_memo(CLIENT, "once", NOW) == MEMO
    with pytest.raises(GuardFailedError):
        access.create_account(ACCOUNT, replace(MEMO, made="other"))
    assert access.read_account("acme") is None


def test_a_lost_answer_is_our_own_success(table: Table) -> None:
    forgetful = ItemAccessStore(Repeating(table), lambda: "commit-1")
    forgetful.create_key(KEY, MEMO)
    forgetful.create_account(ACCOUNT, None)
    assert forgetful.read_key(KEY.id) == KEY


def test_keys_are_listed_by_account_and_age_and_apart_from_contracts(
    access: ItemAccessStore, store: ItemStore, table: Table
) -> None:
    put_lone_contracts(table, [1000, 1001])
    older = replace(KEY, id="b" * 64, created_at=NOW - 1)
    for key in (KEY, older, replace(KEY, id="c" * 64, account="another")):
        access.create_key(key, None)
    first = access.list_keys(CLIENT, None, 1)
    assert first.items == [older]
    assert access.list_keys(CLIENT, first.next, 10).items == [KEY]
    assert [each.id for each in store.list_contracts(CLIENT, None, 10).items] == [1000, 1001]


def test_accounts_are_listed_by_name(access: ItemAccessStore) -> None:
    for name in ("b", "a"):
        access.create_account(Account(name, "", NOW), None)
    assert [each.name for each in access.list_accounts(None, 10).items] == ["a", "b"]


def test_a_key_of_a_first_deployment_can_be_shown_and_revoked(access: ItemAccessStore, table: Table) -> None:
    pk, sk = principal_key(KEY.id)
    item = {"pk": pk, "sk": sk, "v": 1, "account": CLIENT, "role": "client", "created_at": NOW}
    table.transact([Guarded((pk, sk), item)])
    assert access.read_key(KEY.id) == replace(KEY, label="")


def test_a_memo_of_a_contract_made_by_an_older_version_is_understood(access: ItemAccessStore, table: Table) -> None:
    pk, sk = memo_key(CLIENT, "once")
    known = {"account": CLIENT, "key": "once", "body_sha256": "hash", "made_at": NOW, "expires_at": NOW + 100}
    table.transact([Guarded((pk, sk), {"pk": pk, "sk": sk, "v": 1, "ttl": NOW + 100, "contract_id": 5, **known})])
    assert access.read_memo(CLIENT, "once", NOW) == replace(MEMO, made="5")
