"""Lists and batches of the store over both twins: pages, cursors, what is due."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from rental.adapters.store import ItemStore, Table
from rental.domain.book import Book
from rental.domain.errors import InvalidRequestError
from rental.domain.ids import ContractId, HostId
from rental.domain.lifecycle import ContractStatus
from tests.fakes.builders import CAUSE, CLIENT, OWNER, make_manifest
from tests.fakes.ports import NOW
from tests.fakes.tables import make_host, put_contract, put_host, put_lone_contracts

A = ContractId(100)


def test_more_contracts_than_one_batch_holds_are_read_each_once(store: ItemStore, table: Table) -> None:
    ids = [ContractId(1000 + each) for each in range(120)]
    put_lone_contracts(table, ids)
    found = store.read_contracts([*ids, ids[0]])
    assert sorted(each.id for each in found) == ids


def test_lists_go_page_by_page_and_show_each_contract_once(store: ItemStore, table: Table) -> None:
    put_lone_contracts(table, range(1000, 1005))
    put_lone_contracts(table, [2000], account="someone else")
    seen: list[int] = []
    cursor: str | None = None
    for _ in range(4):
        page = store.list_contracts(CLIENT, cursor, 2)
        assert len(page.items) <= 2
        seen += [each.id for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert cursor is None
    assert seen == [1000, 1001, 1002, 1003, 1004]


def test_a_cursor_cannot_read_another_account(store: ItemStore, table: Table) -> None:
    put_lone_contracts(table, range(1000, 1003))
    put_lone_contracts(table, range(2000, 2003), account="victim")
    cursor = store.list_contracts("victim", None, 1).next
    assert cursor is not None
    for forged in (cursor, encode_cursor({"pk": "C#0", "sk": "C", "gsi1pk": "A#victim", "gsi1sk": "C#"})):
        assert all(each.account == CLIENT for each in store.list_contracts(CLIENT, forged, 10).items)


def encode_cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "%",
        "ünïcode",
        "bm90IGpzb24=",
        encode_cursor([]),
        encode_cursor({}),
        encode_cursor({"pk": "C#1", "sk": "C"}),
        encode_cursor({"pk": "C#1", "sk": "C", "gsi1pk": "A#client", "gsi1sk": 7}),
        encode_cursor({"pk": "", "sk": "C", "gsi1pk": "A#client", "gsi1sk": "C#1"}),
        encode_cursor({"pk": "x" * 3000, "sk": "C", "gsi1pk": "A#client", "gsi1sk": "C#1"}),
        encode_cursor({"pk": "C#1", "sk": "C", "gsi1pk": "A#client", "gsi1sk": "C#1", "next_due": "x"}),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"\xff\x00").decode(),
    ],
)
def test_a_forged_cursor_is_an_invalid_request(store: ItemStore, table: Table, cursor: str) -> None:
    put_lone_contracts(table, [1000])
    with pytest.raises(InvalidRequestError):
        store.list_contracts(CLIENT, cursor, 10)


def test_a_cursor_of_one_list_is_refused_by_another(store: ItemStore, table: Table) -> None:
    put_lone_contracts(table, [1000, 1001])
    with pytest.raises(InvalidRequestError):
        store.list_timeline(A, store.list_contracts(CLIENT, None, 1).next, 10)


def test_the_timeline_is_read_in_order_and_in_pages(store: ItemStore) -> None:
    book = put_contract(store)
    for each in range(12):
        noted = book.note(A, f"status {each}", NOW + each, CAUSE)
        book = replace(store.commit(book, noted), timeline=())
    first = store.list_timeline(A, None, 10)
    rest = store.list_timeline(A, first.next, 10)
    assert [each.seq for each in (*first.items, *rest.items)] == list(range(1, 14))


def test_hosts_are_listed_for_their_owner_only(store: ItemStore) -> None:
    store.create_host(make_host(1))
    store.create_host(make_host(2, "someone else"))
    assert [each.id for each in store.list_hosts(OWNER, None, 10).items] == [1]


def test_only_hosts_on_the_market_are_listed(store: ItemStore) -> None:
    listed = put_host(store)
    other = Book(make_manifest(host_id=HostId(8)))
    other = Book(store.commit(other, other).manifest)
    assert [each.host_id for each in store.list_listed(None, 10).items] == [7, 8]
    store.commit(listed, listed.with_manifest(replace(listed.manifest, listing=None)))
    assert [each.host_id for each in store.list_listed(None, 10).items] == [8]


def test_everything_due_is_found_also_beyond_one_page_of_equal_times(store: ItemStore, table: Table) -> None:
    put_lone_contracts(table, range(1000, 1130))
    put_lone_contracts(table, [3000], created_at=NOW + 1)
    assert sorted(store.list_due(NOW)) == list(range(1000, 1130))
    assert store.list_due(NOW - 1) == []


def test_what_is_over_is_never_due(store: ItemStore, table: Table) -> None:
    put_lone_contracts(table, [1000], status=ContractStatus.DELETED)
    put_lone_contracts(table, [1001], status=ContractStatus.FAILED)
    assert store.list_due(NOW + 10**9) == []
