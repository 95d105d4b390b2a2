"""Accounts and API keys in the table."""

from collections.abc import Callable
from dataclasses import dataclass

from rental.adapters.items import (
    Guarded,
    account_item,
    account_key,
    api_key_item,
    creation_of,
    load_account,
    load_api_key,
    principal_key,
)
from rental.adapters.store import Query, Table, commit_writes, loaded, read_memo, read_page
from rental.domain.access import Account, ApiKey
from rental.ports import Memo, Page


@dataclass(frozen=True)
class ItemAccessStore:
    """The port `AccessStore` over a `Table`."""

    table: Table
    new_commit_id: Callable[[], str]

    def read_memo(self, account: str, key: str, now: int) -> Memo | None:
        return read_memo(self.table, account, key, now)

    def read_account(self, name: str) -> Account | None:
        return loaded(load_account, self.table.get(account_key(name)))

    def create_account(self, account: Account, memo: Memo | None) -> None:
        commit_id = self.new_commit_id()
        commit_writes(self.table, creation_of(account_item(account), memo, commit_id), commit_id)

    def list_accounts(self, cursor: str | None, limit: int) -> Page[Account]:
        return read_page(self.table, load_account, Query("ACCOUNTS", "GSI1", "A#", limit=limit), cursor)

    def read_key(self, key_id: str) -> ApiKey | None:
        return loaded(load_api_key, self.table.get(principal_key(key_id)))

    def create_key(self, key: ApiKey, memo: Memo | None) -> None:
        commit_id = self.new_commit_id()
        commit_writes(self.table, creation_of(api_key_item(key), memo, commit_id), commit_id)

    def delete_key(self, key_id: str) -> None:
        commit_writes(self.table, [Guarded(principal_key(key_id), None)], self.new_commit_id())

    def list_keys(self, account: str, cursor: str | None, limit: int) -> Page[ApiKey]:
        return read_page(self.table, load_api_key, Query(f"A#{account}", "GSI1", "K#", limit=limit), cursor)
