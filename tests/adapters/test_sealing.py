"""Sealed secrets open with the machine key, for their contract only."""

import pytest
from cryptography.exceptions import InvalidTag

from rental.adapters.sealing import HpkeSealer
from rental.domain.ids import ContractId
from tests.fakes.builders import HOST
from tests.fakes.machine import Machine

PLAINTEXT = b'{"env":{"PASSWORD":"hunter2"}}'


def test_only_the_machine_opens_what_was_sealed_to_it() -> None:
    machine = Machine(HOST)
    sealed = HpkeSealer().seal(machine.key, ContractId(5), PLAINTEXT)
    assert sealed.key_id == machine.key.key_id
    assert "=" not in sealed.ciphertext
    assert machine.open(sealed, 5) == PLAINTEXT
    with pytest.raises((InvalidTag, ValueError)):
        Machine(HOST).open(sealed, 5)


def test_what_was_sealed_for_one_contract_does_not_open_as_anothers() -> None:
    machine = Machine(HOST)
    with pytest.raises((InvalidTag, ValueError)):
        machine.open(HpkeSealer().seal(machine.key, ContractId(5), PLAINTEXT), 6)


def test_sealing_twice_gives_nothing_to_compare() -> None:
    machine = Machine(HOST)
    first, second = (HpkeSealer().seal(machine.key, ContractId(5), PLAINTEXT) for _ in range(2))
    assert first.ciphertext != second.ciphertext
