"""The port `CallStore` over the one table."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rental.adapters.items import call_item, call_key, creation_of, load_call, replacement_of
from rental.adapters.store import Table, commit_writes, loaded, read_memo
from rental.domain.calls import Call, CallId
from rental.ports import Memo


@dataclass(frozen=True)
class ItemCallStore:
    table: Table
    new_commit_id: Callable[[], str]

    def read_memo(self, account: str, key: str, now: int) -> Memo | None:
        return read_memo(self.table, account, key, now)

    def create_call(self, call: Call, memo: Memo | None) -> None:
        commit_id = self.new_commit_id()
        commit_writes(self.table, creation_of(call_item(call), memo, commit_id), commit_id)

    def read_call(self, call_id: CallId) -> Call | None:
        return loaded(load_call, self.table.get(call_key(call_id)))

    def put_reply(self, call: Call, reply: str) -> None:
        """What was asked is not needed any more, and both might not fit an item."""
        commit_id = self.new_commit_id()
        item = call_item(replace(call, sealed=replace(call.sealed, ciphertext=""), reply=reply))
        commit_writes(self.table, replacement_of(item, call.rev, commit_id), commit_id)
