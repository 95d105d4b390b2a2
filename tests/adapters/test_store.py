"""The store over both twins of the table: what is written comes back, and nothing is written over a change."""

import threading
from dataclasses import replace

import pytest

from rental.adapters.items import Guarded, contract_key, manifest_key, principal_key
from rental.adapters.memory.table import MemoryTable
from rental.adapters.store import ConditionFailedError, ItemStore, Table
from rental.domain.book import Book
from rental.domain.ids import ContractId, OfferId
from rental.ports import Extras, GuardFailedError, Memo, OfferPlace, Principal, TakenError
from tests.fakes.builders import CLIENT, HOST, make_manifest, rent
from tests.fakes.ports import NOW
from tests.fakes.tables import Repeating, Serial, make_host, put_contract, put_host

A = ContractId(100)


def test_what_is_committed_is_read_back(store: ItemStore) -> None:
    book = put_contract(store, num_gpus=2, instances=2)
    assert store.read_contract(A) == book.contract(A)
    assert store.read_manifest(HOST) == book.manifest
    assert (book.contract(A).rev, book.manifest.rev) == (1, 2)
    assert [each.seq for each in store.list_timeline(A, None, 10).items] == [1]


def test_what_was_never_written_is_not_there(store: ItemStore) -> None:
    assert store.read_contract(A) is None
    assert store.read_manifest(HOST) is None
    assert store.read_host(HOST) is None
    assert store.read_offer_place(OfferId(1)) is None
    assert store.read_principal("0" * 64) is None
    assert store.read_memo(CLIENT, "k", NOW) is None
    assert store.read_contracts([]) == []


def test_a_host_is_read_back_and_its_id_is_taken(store: ItemStore) -> None:
    host = make_host()
    store.create_host(host)
    assert store.read_host(host.id) == replace(host, rev=1)
    with pytest.raises(TakenError):
        store.create_host(replace(host, label="another"))


def test_an_api_key_is_known_by_its_hash(store: ItemStore, table: Table) -> None:
    key = principal_key("f" * 64)
    table.transact([Guarded(key, {"pk": key[0], "sk": key[1], "v": 1, "account": "a", "role": "client"})])
    assert store.read_principal("f" * 64) == Principal("a", "client")


def test_a_change_from_an_old_read_of_the_manifest_is_refused(store: ItemStore) -> None:
    stale = put_host(store)
    put_contract(store, 100)
    with pytest.raises(GuardFailedError):
        store.commit(stale, stale.with_manifest(replace(stale.manifest, quarantined=(0,))))


def test_a_change_from_an_old_read_of_a_contract_is_refused(store: ItemStore) -> None:
    stale = put_contract(store)
    store.commit(stale, stale.with_contract(replace(stale.contract(A), run=2)))
    with pytest.raises(GuardFailedError):
        store.commit(stale, stale.with_contract(replace(stale.contract(A), run=7)))
    found = store.read_contract(A)
    assert found is not None
    assert (found.run, found.rev) == (2, 2)


def test_a_refused_transaction_leaves_nothing_behind(store: ItemStore) -> None:
    stale = put_host(store)
    put_contract(store, 100)
    with pytest.raises(GuardFailedError):
        store.commit(stale, rent(stale, 200), Extras(memo=Memo(CLIENT, "k", "h", "200", NOW, NOW + 1)))
    assert store.read_contract(ContractId(200)) is None
    assert store.read_memo(CLIENT, "k", NOW) is None
    assert store.list_timeline(ContractId(200), None, 10).items == []


def test_a_new_contract_never_replaces_one_with_its_id(store: ItemStore) -> None:
    put_contract(store)
    manifest = store.read_manifest(HOST)
    assert manifest is not None
    with pytest.raises(TakenError):
        store.commit(Book(manifest), rent(Book(manifest), 100))


def test_our_own_success_whose_answer_was_lost_is_a_success(store: ItemStore, table: Table) -> None:
    forgetful = ItemStore(Repeating(table), store.new_commit_id)
    book = put_contract(forgetful)
    memo = Memo(CLIENT, "k", "h", str(A), NOW, NOW + 1)
    after = forgetful.commit(book, book.with_contract(replace(book.contract(A), run=2)), Extras(memo=memo))
    assert store.read_contract(A) == after.contract(A)
    forgetful.create_host(make_host())


def test_anothers_success_is_not_ours(store: ItemStore, table: Table) -> None:
    stale = put_contract(store)
    put_contract(store, 200)
    forgetful = ItemStore(Repeating(table), store.new_commit_id)
    with pytest.raises(GuardFailedError):
        forgetful.commit(stale, stale.with_manifest(replace(stale.manifest, quarantined=(0,))))


def test_fields_that_this_version_does_not_know_survive_a_write(store: ItemStore, table: Table) -> None:
    put_contract(store)
    for key in (contract_key(A), manifest_key(HOST)):
        item = table.get(key)
        assert item is not None
        table.transact([Guarded(key, {**item, "from_the_future": {"a": [1, "x", None]}})])
    contract, manifest = store.read_contract(A), store.read_manifest(HOST)
    assert contract is not None
    assert manifest is not None
    before = Book(manifest, {A: contract})
    store.commit(
        before, replace(before.with_contract(replace(contract, run=5)), manifest=replace(manifest, quarantined=(1,)))
    )
    for key in (contract_key(A), manifest_key(HOST)):
        assert (table.get(key) or {})["from_the_future"] == {"a": [1, "x", None]}


def test_a_memo_is_written_once_until_it_expires(store: ItemStore) -> None:
    book = put_host(store)
    first = Memo(CLIENT, "key", "hash", str(A), NOW, NOW + 100)
    store.commit(book, book, Extras(memo=first))
    assert store.read_memo(CLIENT, "key", NOW) == first
    assert store.read_memo("another", "key", NOW) is None
    assert store.read_memo(CLIENT, "key", NOW + 100) is None
    with pytest.raises(GuardFailedError):
        store.commit(book, book, Extras(memo=replace(first, request_digest="other", made_at=NOW + 99)))
    later = replace(first, made_at=NOW + 100, expires_at=NOW + 200)
    store.commit(book, book, Extras(memo=later))
    assert store.read_memo(CLIENT, "key", NOW + 100) == later


def test_an_offer_leads_to_its_host_until_it_is_dropped(store: ItemStore) -> None:
    book = put_host(store)
    place = OfferPlace(OfferId(5), HOST, 2)
    store.commit(book, book, Extras(new_offers=(place,)))
    assert store.read_offer_place(OfferId(5)) == place
    store.commit(book, book, Extras(dropped_offers=(OfferId(5),)))
    assert store.read_offer_place(OfferId(5)) is None


def test_of_two_racing_writers_exactly_one_wins(store: ItemStore, table: Table) -> None:
    lock = threading.Lock()
    racing = ItemStore(Serial(table, lock), store.new_commit_id)
    for turn in range(10):
        before = put_host(racing) if turn == 0 else Book(racing.read_manifest(HOST) or make_manifest())
        start, outcomes = threading.Barrier(2), list[str]()

        def race(
            number: int, before: Book = before, start: threading.Barrier = start, out: list[str] = outcomes
        ) -> None:
            start.wait()
            try:
                racing.commit(before, before.with_manifest(replace(before.manifest, next_token=number)))
                out.append("won")
            except GuardFailedError:
                out.append("lost")

        writers = [threading.Thread(target=race, args=(100 * turn + each,)) for each in (50, 51)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sorted(outcomes) == ["lost", "won"]


def test_a_conflict_without_a_changed_item_is_a_lost_guard() -> None:
    conflicting = ItemStore(MemoryTable(lambda: "conflict"), lambda: "c")
    with pytest.raises(GuardFailedError):
        put_host(conflicting)
    assert ConditionFailedError([]).found == []
