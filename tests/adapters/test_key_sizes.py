"""SSH keys lie in items of 400 KB with other things: the most that may be there fits with room to spare."""

from dataclasses import replace

import pytest

from rental.adapters.items import contract_item, key_ring_item
from rental.domain.book import Book
from rental.domain.contract import Sealed
from rental.domain.ids import ContractId
from rental.domain.key_ring import MAX_KEYS, KeyRing, NamedKey
from rental.domain.renting import MAX_INSTANCES
from rental.domain.ssh_key import MAX_COMMENT_LENGTH, MAX_LINE_LENGTH
from rental.service.renting import MAX_SECRETS_BYTES
from tests.adapters.test_item_size import ITEM_BYTES, LATER, item_bytes
from tests.fakes.builders import CLIENT, make_manifest, rent

LONGEST = "x" * (MAX_LINE_LENGTH - MAX_COMMENT_LENGTH) + "\U0001f511" * MAX_COMMENT_LENGTH


@pytest.mark.parametrize(("gpus", "instances"), [(64, 8), (52, MAX_INSTANCES)])
def test_a_contract_with_the_longest_keys_and_the_most_secrets_fits_an_item(gpus: int, instances: int) -> None:
    book = rent(Book(make_manifest(gpus)), num_gpus=gpus, instances=instances, disk_gib=1)
    contract = book.contract(ContractId(100))
    launch = replace(
        contract.launch,
        image="x" * 1024,
        ssh_keys=(LONGEST,) * MAX_KEYS,
        env_keys=tuple(f"A{number}" for number in range(8000)),
        sealed=Sealed("0" * 16, "x" * (MAX_SECRETS_BYTES * 4 // 3 + 100)),
    )
    assert item_bytes(contract_item(replace(contract, launch=launch))) < 0.95 * ITEM_BYTES


def test_the_fullest_key_ring_fits_an_item() -> None:
    keys = tuple(NamedKey("\U0001f511" * 256, LONGEST, LATER) for _ in range(MAX_KEYS))
    assert item_bytes(key_ring_item(KeyRing(CLIENT, keys))) < 0.95 * ITEM_BYTES
