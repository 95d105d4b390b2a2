"""Rent: one transaction, exactly as many contracts as there are GPUs, repeated requests answered once."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import ValidationError

from rental.adapters.store import ItemStore
from rental.api.schemas import OpenContract
from rental.domain.contract import Contract
from rental.domain.errors import (
    BusyError,
    ConflictError,
    IdempotencyMismatchError,
    InvalidRequestError,
    NotFoundError,
    OfferTakenError,
)
from rental.domain.ids import INSTANCE_BITS, OfferId
from rental.domain.renting import MAX_INSTANCES
from rental.ports import Memo
from rental.service.ledger import ATTEMPTS
from rental.service.renting import MAX_SECRETS_BYTES
from rental.service.repeating import MEMO_S, Repeatable
from tests.fakes.builders import CLIENT, make_request
from tests.fakes.ports import FakeEntropy
from tests.fakes.world import World, client, offer

ONCE = Repeatable("key", b"this")


def at_once(number: int, act: Callable[[], Any]) -> list[Any]:
    """What `number` threads got that did this at the same moment: an answer, or the refusal."""
    start, outcomes = threading.Barrier(number), list[Any]()

    def run() -> None:
        start.wait()
        try:
            outcomes.append(act())
        except ConflictError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_rental_is_written_rung_and_started() -> None:
    world = World().add_host()
    contract = world.rent()
    assert world.read(contract.id) == contract
    assert world.workflows.started == [(contract.id, 1)]
    assert [bell.contract_id for bell in world.bells.rung] == [contract.id]
    assert [entry.status for entry in world.store.list_timeline(contract.id, None, 10).items] == ["pending"]


def test_32_clients_of_one_offer_on_a_4_gpu_host_get_4_contracts_and_28_refusals() -> None:
    world = World().add_host()
    outcomes = at_once(32, world.rent)
    won = [each for each in outcomes if not isinstance(each, ConflictError)]
    assert len(won) == 4
    assert len(outcomes) - len(won) == 28
    assert {gpu.index for contract in won for gpu in contract.gpus} == {0, 1, 2, 3}
    assert len(world.manifest().leases) == 4


def test_ids_that_clash_are_drawn_again() -> None:
    world = World(entropy=FakeEntropy(repeat=3)).add_host()
    contracts = [world.rent(num_gpus=2, instances=2), world.rent(), world.rent()]
    assert len({each.id for contract in contracts for each in contract.instances}) == 4


def test_a_contract_keeps_the_ids_of_its_instances_free_with_the_one_that_its_write_refuses() -> None:
    world = World(entropy=FakeEntropy(repeat=2)).add_host(gpus=16)
    contracts = [world.rent(offer_id=offer(8), instances=8, disk_gib=1) for _ in range(2)]
    for contract in contracts:
        assert [each.id for each in contract.instances] == list(range(contract.id, contract.id + 8))
    assert {contract.id % 16 for contract in contracts} == {0}
    assert contracts[0].id != contracts[1].id


def test_more_instances_than_a_contract_keeps_ids_for_are_refused() -> None:
    assert MAX_INSTANCES <= 1 << INSTANCE_BITS
    with pytest.raises(ValidationError, match="instances"):
        OpenContract(offer_id=1, image="busybox", disk_gib=1, instances=MAX_INSTANCES + 1)


def test_secrets_are_stored_sealed_only() -> None:
    world = World().add_host()
    contract = world.rent()
    assert contract.launch.sealed is not None
    assert contract.launch.sealed.key_id == world.machine.key.key_id
    assert "hunter2" not in str(world.table.items())


def test_secrets_that_would_not_fit_the_table_are_refused() -> None:
    world = World().add_host()
    with pytest.raises(InvalidRequestError):
        world.renting.open_contract(make_request(), {"args": ["\x01" * (MAX_SECRETS_BYTES // 6)]}, None)


def test_an_offer_that_never_was_or_was_listed_anew_is_not_found() -> None:
    world = World().add_host()
    with pytest.raises(NotFoundError):
        world.rent(offer_id=OfferId(5))


def test_the_size_of_a_rental_is_the_offers_not_the_requests() -> None:
    world = World().add_host()
    request = make_request(offer_id=OfferId(1002))
    assert len(world.renting.open_contract(request, {}, None).gpus) == 2


def test_a_repeated_request_answers_with_the_first_contract() -> None:
    world = World().add_host()
    first = world.rent(ONCE)
    assert world.rent(ONCE).id == first.id
    assert len(world.manifest().claims) == 1
    assert world.workflows.started == [(first.id, 1)]


def test_a_repeated_request_starts_the_execution_whose_start_was_lost() -> None:
    world = World().add_host()
    world.workflows.deaf = True
    first = world.rent(ONCE)
    world.workflows.deaf = False
    world.rent(ONCE)
    assert world.workflows.started == [(first.id, 1)]


def test_the_key_of_a_request_with_another_body_is_a_mismatch() -> None:
    world = World().add_host()
    world.rent(ONCE)
    with pytest.raises(IdempotencyMismatchError):
        world.rent(Repeatable("key", b"that"))


def test_keys_are_each_accounts_own_and_last_a_day() -> None:
    world = World().add_host()
    first = world.rent(ONCE)
    assert world.rent(ONCE, account="another").id != first.id
    world.clock.advance(MEMO_S)
    assert world.rent(Repeatable("key", b"that")).id != first.id


@dataclass(frozen=True)
class Overtaken(ItemStore):
    """Between its first look for a memo and the next read, `meanwhile` happens."""

    meanwhile: list[Callable[[], object]]

    def read_memo(self, account: str, key: str, now: int) -> Memo | None:
        memo = super().read_memo(account, key, now)
        if self.meanwhile:
            self.meanwhile.pop()()
        return memo


def test_a_request_whose_twin_has_just_taken_the_last_gpu_is_answered_with_its_contract() -> None:
    world = World().add_host(gpus=1)
    first: list[Contract] = []
    store = Overtaken(world.table, world.store.new_commit_id, [lambda: first.append(world.rent(ONCE))])
    late = replace(world.renting, ledger=replace(world.ledger, store=store))
    assert late.open_contract(make_request(), {}, ONCE).id == first[0].id


def test_the_same_request_twice_at_once_makes_one_contract() -> None:
    for _ in range(10):
        world = World().add_host()
        outcomes = at_once(2, lambda world=world: world.rent(ONCE))  # type: ignore[misc]
        assert Counter(each.id for each in outcomes).most_common(1)[0][1] == 2
        assert len(world.manifest().claims) == 1


def test_a_refused_request_may_be_repeated_under_the_same_key() -> None:
    world = World().add_host(gpus=1)
    held = world.rent()
    with pytest.raises(OfferTakenError):
        world.rent(ONCE)
    world.contracts.end_contract(held.id, client)
    world.hear(held.id, "absent")
    assert world.rent(ONCE).id != held.id


def test_conflicts_are_retried_with_jitter() -> None:
    world = World().add_host()
    world.faults.extend(["conflict"] * (ATTEMPTS - 1))
    assert world.rent().account == CLIENT
    assert world.clock.slept_s > 0


def test_after_eight_conflicts_the_answer_is_busy() -> None:
    world = World().add_host()
    world.faults.extend(["conflict"] * ATTEMPTS)
    with pytest.raises(BusyError):
        world.rent()
    assert not world.manifest().claims
    assert not world.workflows.started


def test_a_lost_answer_makes_one_contract() -> None:
    world = World().add_host()
    world.faults.extend(["lost"])
    contract = world.rent(ONCE)
    assert list(world.manifest().claims) == [contract.id]
    assert world.rent(ONCE).id == contract.id
