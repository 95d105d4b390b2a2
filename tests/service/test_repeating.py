"""An Idempotency-Key on what changes a contract or adds a host: one effect, however often it is sent."""

import hashlib
from collections.abc import Callable

import pytest

from rental.domain.contract import Contract
from rental.domain.errors import AlreadyDoneError, ConflictError, IdempotencyMismatchError, NotFoundError
from rental.domain.ids import ContractId
from rental.service.repeating import MEMO_S, Repeatable
from tests.fakes.world import World, client, owner, stranger
from tests.service.test_renting import at_once

ONCE = Repeatable("key", b"this")
OTHER = Repeatable("key", b"that")

Deed = Callable[[World, ContractId, Repeatable], Contract]
DEEDS: dict[str, Deed] = {
    "start": lambda world, each, once: world.contracts.start_contract(each, client, None, once),
    "stop": lambda world, each, once: world.contracts.stop_contract(each, client, None, once),
    "reboot": lambda world, each, once: world.contracts.reboot_contract(each, client, None, once),
    "extend": lambda world, each, once: world.contracts.extend_contract(each, owner, 1 << 32, once),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_a_repeated_request_has_no_second_effect(deed: str) -> None:
    world = World().add_host()
    contract = world.rent_active()
    answered = DEEDS[deed](world, contract.id, ONCE)
    before = world.table.items()
    assert DEEDS[deed](world, contract.id, ONCE) == answered
    assert world.table.items() == before


@pytest.mark.parametrize("deed", DEEDS)
def test_the_key_of_another_request_is_a_mismatch_and_changes_nothing(deed: str) -> None:
    world = World().add_host()
    contract = world.rent_active()
    DEEDS[deed](world, contract.id, ONCE)
    before = world.table.items()
    with pytest.raises(IdempotencyMismatchError):
        DEEDS[deed](world, contract.id, OTHER)
    assert world.table.items() == before


def test_a_late_repeat_of_a_stop_does_not_stop_what_was_started_since() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None, ONCE)
    world.hear(contract.id, "stopped")
    world.contracts.start_contract(contract.id, client, None)
    assert world.contracts.stop_contract(contract.id, client, None, ONCE).instances[0].desired == "running"


def test_a_key_is_forgotten_after_a_day() -> None:
    world = World().add_host()
    contract = world.rent_active(duration_s=MEMO_S * 2)
    world.contracts.stop_contract(contract.id, client, None, ONCE)
    world.clock.advance(MEMO_S)
    world.contracts.start_contract(contract.id, client, None, OTHER)


def test_a_refused_request_leaves_its_key_unused() -> None:
    world = World().add_host()
    contract = world.rent()
    with pytest.raises(ConflictError):
        world.contracts.stop_contract(contract.id, client, None, ONCE)
    world.hear(contract.id, "running")
    assert world.contracts.stop_contract(contract.id, client, None, ONCE).instances[0].status == "stopping"


def test_a_strangers_key_opens_no_contract() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None, ONCE)
    with pytest.raises(NotFoundError):
        world.contracts.stop_contract(contract.id, stranger, None, ONCE)


def test_a_request_sent_several_times_at_once_takes_effect_once() -> None:
    world = World().add_host()
    contract = world.rent_active()
    answers = at_once(6, lambda: world.contracts.reboot_contract(contract.id, client, None, ONCE))
    assert {each.instances[0].generation for each in answers} == {2}


def test_a_repeated_request_survives_conflicts_and_lost_answers() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.faults.extend(["lost", "conflict"])
    assert world.contracts.reboot_contract(contract.id, client, None, ONCE).instances[0].generation == 2


def test_a_repeated_request_for_a_host_adds_no_second_one_and_names_the_first() -> None:
    world = World()
    admission = world.hosts.add_host(owner, "rack", ONCE)
    with pytest.raises(AlreadyDoneError, match=str(admission.host.id)):
        world.hosts.add_host(owner, "rack", ONCE)
    with pytest.raises(IdempotencyMismatchError):
        world.hosts.add_host(owner, "another rack", OTHER)
    assert [each.host.id for each in world.hosts.list_hosts(owner, None, 10).items] == [admission.host.id]
    assert admission.registration_token not in str(world.table.items())


def test_a_memo_tells_nobody_what_was_asked_who_does_not_know_the_key() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.contracts.stop_contract(contract.id, client, None, Repeatable("a-random-key", b"a guess"))
    kept = str(world.table.items())
    assert hashlib.sha256(b"a guess").hexdigest() not in kept
    assert "a-random-key" not in kept
    assert Repeatable("a-random-key", b"a guess").digest(client.account) in kept
    assert "guess" not in repr(Repeatable("a-random-key", b"a guess"))


def test_the_same_request_of_two_accounts_leaves_two_digests() -> None:
    assert ONCE.digest("one") != ONCE.digest("another")
    assert ONCE.name("one") != ONCE.name("another")
