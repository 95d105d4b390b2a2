"""Tables that lose answers or take turns, and what tests put into a store."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rental.adapters.items import Guarded, Item, Key, contract_item
from rental.adapters.store import ItemStore, Query, Table
from rental.domain.book import Book
from rental.domain.host import Host, HostStatus
from rental.domain.ids import ContractId, HostId
from rental.domain.ways_in import Proxy
from tests.fakes.builders import HOST, OWNER, make_inventory, make_manifest, rent
from tests.fakes.machine import Machine
from tests.fakes.ports import NOW

A = ContractId(100)


def put_host(store: ItemStore) -> Book:
    """An empty, listed host in the table; the book as it was read."""
    book = Book(make_manifest(8))
    return Book(store.commit(book, book).manifest)


def put_contract(store: ItemStore, contract_id: int = 100, *, proxy: Proxy | None = None, **request: object) -> Book:
    """One more contract in the table; the book as it stands there."""
    manifest = store.read_manifest(HOST)
    before = Book(manifest) if manifest is not None else put_host(store)
    wanted: dict[str, Any] = {"disk_gib": 1, **request}
    after = store.commit(before, rent(before, contract_id, proxy=proxy, **wanted))
    return replace(after, timeline=(), bells=())


def put_lone_contracts(table: Table, ids: Sequence[int], **changes: Any) -> None:
    """Contracts alone, without a place on their host: for lists."""
    made = rent(Book(make_manifest()), 100).contract(A)
    for start in range(0, len(ids), 100):
        items = [
            contract_item(replace(made, id=ContractId(each), **changes)) | {"rev": 1}
            for each in ids[start : start + 100]
        ]
        table.transact([Guarded((item["pk"], item["sk"]), item) for item in items])


def make_host(host_id: int = 9, owner: str = OWNER) -> Host:
    machine = Machine(host_id)
    return Host(
        HostId(host_id),
        owner,
        "rack 1",
        HostStatus.ACTIVE,
        NOW,
        "0" * 64,
        NOW,
        "a-1",
        "mi-1",
        machine.key,
        make_inventory(),
    )


@dataclass(frozen=True)
class Repeating:
    """A table whose answers are lost: its client sends every transaction twice."""

    table: Table

    def transact(self, writes: Sequence[Guarded]) -> None:
        self.table.transact(writes)
        self.table.transact(writes)

    def get(self, key: Key) -> Item | None:
        return self.table.get(key)

    def get_many(self, keys: Sequence[Key]) -> list[Item]:
        return self.table.get_many(keys)

    def query(self, query: Query) -> tuple[list[Item], Item | None]:
        return self.table.query(query)


@dataclass(frozen=True)
class Serial(Repeating):
    """One transaction at a time: DynamoDB serializes them itself, moto does not."""

    lock: threading.Lock

    def transact(self, writes: Sequence[Guarded]) -> None:
        with self.lock:
            self.table.transact(writes)
