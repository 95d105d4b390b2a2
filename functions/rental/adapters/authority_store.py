"""The port `AuthorityStore` over the one table."""

from collections.abc import Callable
from dataclasses import dataclass

from rental.adapters.items import authority_item, authority_key, creation_of, load_authority
from rental.adapters.store import Table, commit_writes, loaded
from rental.ports import AuthorityRecord


@dataclass(frozen=True)
class ItemAuthorityStore:
    table: Table
    new_commit_id: Callable[[], str]

    def read_authority(self, key_id: str, zone: str) -> AuthorityRecord | None:
        return loaded(load_authority, self.table.get(authority_key(key_id, zone)))

    def create_authority(self, record: AuthorityRecord) -> None:
        commit_id = self.new_commit_id()
        commit_writes(self.table, creation_of(authority_item(record), None, commit_id), commit_id)
