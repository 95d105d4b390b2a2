"""Numbers of the proxy over both twins of the table: new with a contract, nobody else's meanwhile, gone with it."""

from dataclasses import replace

import pytest

from rental.adapters.items import proxy_port_key
from rental.adapters.store import ItemStore, Table
from rental.domain.book import Book
from rental.domain.contract import Launch
from rental.domain.ending import end_early
from rental.domain.ids import ContractId, HostId
from rental.ports import TakenError
from tests.fakes.builders import CAUSE, PROXY, hear, make_manifest, rent
from tests.fakes.ports import NOW
from tests.fakes.tables import Repeating, put_contract

A = ContractId(100)
JUPYTER = Launch("alpine:3", mode="jupyter")
OTHER = replace(PROXY, first_port=PROXY.first_port - 99)
"""Gives the contract 200 the numbers 30101 and 30102: the first is the second of contract 100."""


def put_elsewhere(store: ItemStore) -> Book:
    """A contract on another host, which wants a number that is held."""
    manifest = make_manifest(host_id=HostId(8))
    before = Book(store.commit(Book(manifest), Book(manifest)).manifest)
    return store.commit(before, rent(before, 200, proxy=OTHER, launch=JUPYTER))


def test_numbers_are_held_from_the_transaction_that_makes_the_contract(store: ItemStore, table: Table) -> None:
    put_contract(store, proxy=PROXY, launch=JUPYTER)
    assert store.read_proxy_ports([30_099, 30_100, 30_101, 30_102]) == {30_100, 30_101}
    item = table.get(proxy_port_key(30_101))
    assert item is not None
    assert (item["contract_id"], item["instance_id"], item["v"]) == (100, 100, 1)


def test_a_contract_that_wants_a_number_of_anothers_is_not_made(store: ItemStore) -> None:
    put_contract(store, proxy=PROXY, launch=JUPYTER)
    with pytest.raises(TakenError):
        put_elsewhere(store)
    assert store.read_contract(ContractId(200)) is None
    assert store.read_proxy_ports([30_102]) == frozenset()


def test_numbers_stay_until_everything_of_the_contract_is_gone(store: ItemStore) -> None:
    book = put_contract(store, proxy=PROXY, launch=JUPYTER, num_gpus=2, instances=2)
    ending = replace(store.commit(book, end_early(book, A, NOW, CAUSE)), timeline=(), bells=())
    assert store.read_proxy_ports(range(30_100, 30_104)) == set(range(30_100, 30_104))
    store.commit(ending, hear(ending, 100, "absent"))
    assert store.read_proxy_ports(range(30_100, 30_104)) == frozenset()
    assert put_elsewhere(store).contract(ContractId(200)).proxy_ports == (30_101, 30_102)


def test_a_change_of_a_contract_that_is_gone_takes_no_number_from_its_next_holder(store: ItemStore) -> None:
    book = put_contract(store, proxy=PROXY, launch=JUPYTER)
    ending = replace(store.commit(book, end_early(book, A, NOW, CAUSE)), timeline=(), bells=())
    gone = replace(store.commit(ending, hear(ending, 100, "absent")), timeline=(), bells=())
    put_elsewhere(store)
    store.commit(gone, gone.with_contract(replace(gone.contract(A), label="late")))
    assert store.read_proxy_ports([30_101]) == {30_101}


def test_a_lost_answer_gives_numbers_back_once(table: Table) -> None:
    store = ItemStore(Repeating(table), lambda: "commit")
    book = put_contract(store, proxy=PROXY, launch=JUPYTER)
    ending = replace(store.commit(book, end_early(book, A, NOW, CAUSE)), timeline=(), bells=())
    store.commit(ending, hear(ending, 100, "absent"))
    assert store.read_proxy_ports([30_100, 30_101]) == frozenset()
