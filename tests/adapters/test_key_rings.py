"""Key rings over both twins of the table."""

import itertools
import threading
from dataclasses import replace

import pytest

from rental.adapters.items import Guarded, key_ring_key
from rental.adapters.store import ItemStore, Table
from rental.domain.errors import ConflictError
from rental.domain.key_ring import MAX_KEYS, KeyRing, NamedKey
from rental.ports import GuardFailedError, Memo, TakenError
from tests.fakes.builders import CLIENT
from tests.fakes.ports import NOW
from tests.fakes.ssh import make_line
from tests.fakes.tables import Repeating, Serial

RING = KeyRing(CLIENT, (NamedKey("laptop", make_line(1, "me@laptop"), NOW),))
MEMO = Memo(CLIENT, "once", "hash", "made", NOW, NOW + 100)


def test_who_never_had_a_key_has_an_empty_ring(store: ItemStore) -> None:
    assert store.read_key_ring(CLIENT) == KeyRing(CLIENT)


def test_a_ring_is_read_as_it_was_put_and_each_account_has_its_own(store: ItemStore) -> None:
    store.put_key_ring(RING)
    assert store.read_key_ring(CLIENT) == replace(RING, rev=1)
    assert store.read_key_ring("another") == KeyRing("another")
    store.put_key_ring(replace(RING, keys=(), rev=1))
    assert store.read_key_ring(CLIENT) == KeyRing(CLIENT, rev=2)


def test_a_ring_that_changed_meanwhile_is_not_written_over(store: ItemStore) -> None:
    store.put_key_ring(RING)
    with pytest.raises(TakenError):
        store.put_key_ring(replace(RING, keys=()))
    store.put_key_ring(replace(RING, rev=1))
    with pytest.raises(GuardFailedError):
        store.put_key_ring(replace(RING, keys=(), rev=1))
    assert store.read_key_ring(CLIENT).keys == RING.keys


def test_a_used_idempotency_key_lets_no_key_in(store: ItemStore) -> None:
    store.put_key_ring(RING, MEMO)
    assert store.read_memo(CLIENT, "once", NOW) == MEMO
    with pytest.raises(GuardFailedError):
        store.put_key_ring(replace(RING, keys=(), rev=1), replace(MEMO, made="other"))
    assert store.read_key_ring(CLIENT).keys == RING.keys


def test_a_lost_answer_is_our_own_success(table: Table) -> None:
    forgetful = ItemStore(Repeating(table), lambda: "commit-1")
    forgetful.put_key_ring(RING, MEMO)
    assert forgetful.read_key_ring(CLIENT).keys == RING.keys


def test_fields_that_this_version_does_not_know_survive(store: ItemStore, table: Table) -> None:
    store.put_key_ring(RING)
    item = table.get(key_ring_key(CLIENT))
    assert item is not None
    table.transact([Guarded(key_ring_key(CLIENT), item | {"newer": "x"})])
    store.put_key_ring(replace(store.read_key_ring(CLIENT), keys=()))
    kept = table.get(key_ring_key(CLIENT))
    assert kept is not None
    assert kept["newer"] == "x"


def test_of_many_who_add_the_last_key_at_once_one_succeeds(table: Table) -> None:
    commits = itertools.count(1)
    store = ItemStore(Serial(table, threading.Lock()), lambda: f"commit-{next(commits)}")
    keys = tuple(NamedKey("x", make_line(number), NOW) for number in range(MAX_KEYS - 1))
    store.put_key_ring(KeyRing(CLIENT, keys))
    added, barrier = [], threading.Barrier(4)

    def add(number: int) -> None:
        ring = store.read_key_ring(CLIENT)
        barrier.wait()
        try:
            store.put_key_ring(ring.with_key(NamedKey("y", make_line(number), NOW)))
        except (GuardFailedError, ConflictError):
            return
        added.append(number)

    threads = [threading.Thread(target=add, args=(100 + number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring = store.read_key_ring(CLIENT)
    assert [each.line for each in ring.keys[MAX_KEYS - 1 :]] == [make_line(number) for number in added]
    assert len(added) == 1
