"""The store over a table of items: what to read and write for each question. The table itself is an adapter below."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rental.adapters.items import (
    Guarded,
    Item,
    Key,
    contract_key,
    creation_of,
    host_item,
    host_key,
    key_ring_item,
    key_ring_key,
    load_contract,
    load_host,
    load_key_ring,
    load_manifest,
    load_memo,
    load_offer_place,
    load_timeline_entry,
    manifest_key,
    memo_key,
    offer_key,
    principal_key,
    proxy_port_key,
    raised,
    replacement_of,
    tunnel_key,
    writes_of,
)
from rental.domain.allocation import Manifest
from rental.domain.book import Book, TimelineEntry
from rental.domain.contract import Contract
from rental.domain.errors import InvalidRequestError
from rental.domain.host import Host
from rental.domain.ids import ContractId, HostId, OfferId
from rental.domain.key_ring import KeyRing
from rental.ports import NO_EXTRAS, Extras, GuardFailedError, Memo, OfferPlace, Page, Principal, TakenError

T = TypeVar("T")

MAX_KEY_LENGTH = 1000


class ConditionFailedError(Exception):
    """A guard did not hold. `found` is each item whose guard failed, as it is now; empty for a mere conflict."""

    def __init__(self, found: Sequence[tuple[Guarded, Item | None]]) -> None:
        super().__init__(f"{len(found)} guards failed")
        self.found = found


INDEX_KEYS = {
    None: ("pk", "sk"),
    "GSI1": ("gsi1pk", "gsi1sk"),
    "GSI2": ("gsi2pk", "gsi2sk"),
    "GSI3": ("gsi3pk", "next_due"),
}
"""Partition and sort key of the table and of each index."""


@dataclass(frozen=True)
class Query:
    """Items of one partition, in order. `index` None is the table; `after` is where the last page ended."""

    pk: str
    index: str | None = None
    sk_prefix: str = ""
    after: Item | None = None
    limit: int = 100
    due_before: int | None = None


class Table(Protocol):
    """The few operations that the store needs. Every read by key is strongly consistent."""

    def get(self, key: Key) -> Item | None: ...

    def get_many(self, keys: Sequence[Key]) -> list[Item]: ...

    def transact(self, writes: Sequence[Guarded]) -> None:
        """All or nothing; raises ConditionFailedError."""
        ...

    def query(self, query: Query) -> tuple[list[Item], Item | None]:
        """A page, and where it ended when there is more."""
        ...


@dataclass(frozen=True)
class ItemStore:
    """The port `Store` over a `Table`."""

    table: Table
    new_commit_id: Callable[[], str]

    def read_contract(self, contract_id: ContractId) -> Contract | None:
        return loaded(load_contract, self.table.get(contract_key(contract_id)))

    def read_contracts(self, contract_ids: Iterable[ContractId]) -> Sequence[Contract]:
        return [
            load_contract(item)
            for item in self.table.get_many([contract_key(each) for each in dict.fromkeys(contract_ids)])
        ]

    def read_manifest(self, host_id: HostId) -> Manifest | None:
        return loaded(load_manifest, self.table.get(manifest_key(host_id)))

    def read_manifests(self, host_ids: Iterable[HostId]) -> Sequence[Manifest]:
        return [load_manifest(item) for item in self.table.get_many([manifest_key(each) for each in host_ids])]

    def read_host(self, host_id: HostId) -> Host | None:
        return loaded(load_host, self.table.get(host_key(host_id)))

    def read_offer_place(self, offer_id: OfferId) -> OfferPlace | None:
        return loaded(load_offer_place, self.table.get(offer_key(offer_id)))

    def read_proxy_ports(self, ports: Sequence[int]) -> frozenset[int]:
        found = self.table.get_many([proxy_port_key(port) for port in ports])
        return frozenset(int(item["pk"].removeprefix("P#")) for item in found)

    def read_tunnel_host(self, fingerprint: str) -> HostId | None:
        item = self.table.get(tunnel_key(fingerprint))
        return HostId(int(item["host_id"])) if item is not None else None

    def read_memo(self, account: str, key: str, now: int) -> Memo | None:
        return read_memo(self.table, account, key, now)

    def read_principal(self, api_key_sha256: str) -> Principal | None:
        item = self.table.get(principal_key(api_key_sha256))
        return Principal(item["account"], item["role"]) if item is not None else None

    def read_key_ring(self, account: str) -> KeyRing:
        return loaded(load_key_ring, self.table.get(key_ring_key(account))) or KeyRing(account)

    def put_key_ring(self, ring: KeyRing, memo: Memo | None = None) -> None:
        commit_id = self.new_commit_id()
        commit_writes(self.table, replacement_of(key_ring_item(ring), ring.rev, commit_id, memo), commit_id)

    def commit(self, before: Book, after: Book, extras: Extras = NO_EXTRAS) -> Book:
        commit_id = self.new_commit_id()
        commit_writes(self.table, writes_of(before, after, extras, commit_id), commit_id)
        return raised(before, after)

    def create_host(self, host: Host, memo: Memo | None = None) -> None:
        commit_id = self.new_commit_id()
        commit_writes(self.table, creation_of(host_item(host), memo, commit_id), commit_id)

    def list_contracts(self, account: str, cursor: str | None, limit: int) -> Page[Contract]:
        return read_page(self.table, load_contract, Query(f"A#{account}", "GSI1", "C#", limit=limit), cursor)

    def list_hosts(self, owner: str, cursor: str | None, limit: int) -> Page[Host]:
        return read_page(self.table, load_host, Query(f"W#{owner}", "GSI2", limit=limit), cursor)

    def list_listed(self, cursor: str | None, limit: int) -> Page[Manifest]:
        return read_page(self.table, load_manifest, Query("LISTED", "GSI2", limit=limit), cursor)

    def list_retiring(self, cursor: str | None, limit: int) -> Page[Manifest]:
        return read_page(self.table, load_manifest, Query("RETIRING", "GSI2", limit=limit), cursor)

    def list_timeline(self, contract_id: ContractId, cursor: str | None, limit: int) -> Page[TimelineEntry]:
        query = Query(f"C#{contract_id}", sk_prefix="E#", limit=limit)
        return read_page(self.table, load_timeline_entry, query, cursor)

    def list_due(self, before: int) -> Sequence[ContractId]:
        found: list[ContractId] = []
        after: Item | None = None
        while True:
            items, after = self.table.query(Query("DUE", "GSI3", after=after, due_before=before))
            found += [ContractId(int(item["pk"].removeprefix("C#"))) for item in items]
            if after is None:
                return found


def commit_writes(table: Table, writes: Sequence[Guarded], commit_id: str) -> None:
    """Write all or nothing; raises TakenError when a new id exists, GuardFailedError when others were faster."""
    try:
        table.transact(writes)
    except ConditionFailedError as error:
        if any(item is not None and item.get("commit") == commit_id for _, item in error.found):
            return  # our own earlier try, whose answer was lost
        if any(write.expected_rev == 0 for write, _ in error.found):
            raise TakenError("an id exists already") from error
        raise GuardFailedError("what was read has changed") from error


def read_page(table: Table, load: Callable[[Item], T], query: Query, cursor: str | None) -> Page[T]:
    """Raises InvalidRequestError for a cursor that is not one of ours."""
    after = _decode_cursor(cursor, {"pk", "sk", *INDEX_KEYS[query.index]}) if cursor is not None else None
    items, last = table.query(Query(query.pk, query.index, query.sk_prefix, after, query.limit))
    return Page([load(item) for item in items], _encode_cursor(last) if last is not None else None)


def read_memo(table: Table, account: str, key: str, now: int) -> Memo | None:
    memo = loaded(load_memo, table.get(memo_key(account, key)))
    return memo if memo is not None and memo.expires_at > now else None


def loaded(load: Callable[[Item], T], item: Item | None) -> T | None:
    return load(item) if item is not None else None


def _encode_cursor(last: Item) -> str:
    return base64.urlsafe_b64encode(json.dumps(last, sort_keys=True).encode()).decode()


def _decode_cursor(cursor: str, names: set[str]) -> Item:
    try:
        decoded: Any = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidRequestError("The cursor is not one of ours. Start again without it.") from error
    if not isinstance(decoded, dict) or set(decoded) != names or not all(map(_is_key, decoded.values())):
        raise InvalidRequestError("The cursor is not one of ours. Start again without it.")
    return decoded


def _is_key(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_KEY_LENGTH
