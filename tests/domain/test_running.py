"""Rules 2, 3 and 8: who may run, who holds a GPU, and who waits for it."""

from dataclasses import replace

import pytest

from rental.domain.book import Book
from rental.domain.contract import Contract, Instance
from rental.domain.ending import end_early
from rental.domain.errors import ConflictError, ContractExpiredError, ContractOverError, NotFoundError
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import Desired, InstanceStatus
from rental.domain.observation import COMMAND_IN_FLIGHT_S, contracts_to_read, observe
from rental.domain.offer import offers_of
from rental.domain.running import grant_waiters, start_instances, stop_instances, wanted_of
from tests.fakes.builders import CAUSE, active, hear, instance_status, make_manifest, make_report, rent
from tests.fakes.ports import NOW

A, B, C = ContractId(100), ContractId(200), ContractId(300)


def stop(book: Book, contract_id: ContractId = A, instance_id: int | None = None, now: int = NOW) -> Book:
    chosen = InstanceId(instance_id) if instance_id is not None else None
    return stop_instances(book, contract_id, chosen, now, CAUSE)


def start(book: Book, contract_id: ContractId = A, instance_id: int | None = None, now: int = NOW) -> Book:
    chosen = InstanceId(instance_id) if instance_id is not None else None
    return grant_waiters(start_instances(book, contract_id, chosen, now, CAUSE), now)


def one_gpu_book() -> Book:
    return active(Book(make_manifest(1)))


def stopped_beside_a_runner() -> Book:
    """On a 1-GPU host A is stopped and B runs on its GPU."""
    return active(hear(stop(one_gpu_book()), A, "stopped"), B)


def instance(book: Book, contract_id: ContractId = A) -> Instance:
    contract: Contract = book.contract(contract_id)
    return contract.instances[0]


def test_stop_keeps_the_lease_until_the_host_says_that_the_container_is_gone() -> None:
    stopping = stop(one_gpu_book())
    assert instance_status(stopping) is InstanceStatus.STOPPING
    assert stopping.manifest.leases[0].contract_id == A
    stopped = hear(stopping, A, "stopped")
    assert instance_status(stopped) is InstanceStatus.STOPPED
    assert not stopped.manifest.leases
    assert instance(stopped).token is None


def test_a_stopped_instance_keeps_its_disk_and_its_gpus_are_offered_again() -> None:
    before = one_gpu_book()
    stopped = hear(stop(before), A, "stopped")
    assert stopped.manifest.disk_free_bytes == before.manifest.disk_free_bytes
    assert [each.gpu_indexes for each in offers_of(stopped.manifest, NOW)] == [(0,)]


def test_every_wanted_change_raises_the_generation_and_rings_the_host() -> None:
    book = one_gpu_book()
    stopping = stop(book)
    assert instance(stopping).generation == instance(book).generation + 1
    assert stopping.bells[-1].urgent
    started = start(hear(stopping, A, "stopped"))
    assert instance(started).generation == instance(book).generation + 2
    assert not started.bells[-1].urgent


def test_wanting_what_is_wanted_already_changes_nothing() -> None:
    book = one_gpu_book()
    assert start(book) == book
    stopping = stop(book)
    assert stop(stopping) == stopping


def test_a_start_takes_a_higher_token_than_any_before() -> None:
    book = one_gpu_book()
    started = start(hear(stop(book), A, "stopped"))
    assert instance(started).token == started.manifest.leases[0].token == 2
    assert instance_status(started) is InstanceStatus.LOADING


def test_a_start_while_it_still_stops_takes_a_new_token_at_once() -> None:
    restarted = start(stop(one_gpu_book()))
    assert instance_status(restarted) is InstanceStatus.LOADING
    assert restarted.manifest.leases[0].token == 2


def test_a_start_whose_gpus_are_taken_waits_and_says_why() -> None:
    waiting = start(stopped_beside_a_runner())
    assert instance_status(waiting) is InstanceStatus.SCHEDULING
    assert instance(waiting).desired is Desired.RUNNING
    assert "Waits for its GPUs" in (instance(waiting).reason or "")
    assert waiting.manifest.leases[0].contract_id == B


def test_a_waiter_is_granted_in_the_transaction_that_returns_its_gpus() -> None:
    waiting = start(stopped_beside_a_runner())
    freed = grant_waiters(hear(stop(waiting, B), B, "stopped"), NOW)
    assert instance_status(freed) is InstanceStatus.LOADING
    assert freed.manifest.leases[0].contract_id == A
    assert not freed.manifest.waiters


def test_stop_cancels_the_wait() -> None:
    cancelled = stop(start(stopped_beside_a_runner()))
    assert instance_status(cancelled) is InstanceStatus.STOPPED
    assert not cancelled.manifest.waiters


def test_waiters_are_served_first_come_first_served() -> None:
    book = active(hear(stop(stopped_beside_a_runner(), B), B, "stopped"), C)
    book = start(start(book, B, now=NOW + 1), A, now=NOW + 2)
    freed = grant_waiters(hear(stop(book, C), C, "stopped"), NOW + 3)
    assert (instance_status(freed, B), instance_status(freed, A)) == (
        InstanceStatus.LOADING,
        InstanceStatus.SCHEDULING,
    )


def test_a_waiter_for_two_gpus_is_not_overtaken_by_a_later_one_for_one_of_them() -> None:
    book = active(Book(make_manifest(2)), A, num_gpus=2)
    book = hear(stop(book), A, "stopped")
    book = active(active(book, B), C)
    book = hear(stop(book, B), B, "stopped")
    book = start(start(book, A), B)
    assert instance_status(book, A) is InstanceStatus.SCHEDULING
    assert instance_status(book, B) is InstanceStatus.SCHEDULING
    freed = grant_waiters(hear(stop(book, C), C, "stopped"), NOW)
    assert {lease.contract_id for lease in freed.manifest.leases.values()} == {A}


def test_a_waiter_whose_contract_has_ended_is_stopped_and_the_next_one_served() -> None:
    book = active(hear(stop(stopped_beside_a_runner(), B), B, "stopped"), C, duration_s=7200)
    book = book.with_contract(replace(book.contract(B), end_at=NOW + 7200))
    book = start(start(book, A), B)
    freed = grant_waiters(hear(stop(book, C), C, "stopped"), NOW + 3600)
    assert instance_status(freed, A) is InstanceStatus.STOPPED
    assert instance_status(freed, B) is InstanceStatus.LOADING


def test_a_waiter_whose_contract_is_not_in_the_book_keeps_waiting() -> None:
    waiting = start(stopped_beside_a_runner())
    freed = hear(stop(waiting, B), B, "stopped")
    absent = replace(freed, contracts={B: freed.contract(B)})
    assert grant_waiters(absent, NOW) == absent


def restarted_behind_a_waiter() -> Book:
    """B waits for the GPU that A holds; A is stopped and started again before the host has confirmed the stop."""
    book = active(hear(stop(one_gpu_book()), A, "stopped"), B)
    book = active(hear(stop(book, B), B, "stopped"), C)
    return start(stop(start(book, B), C), C)


def test_a_restart_behind_a_waiter_gives_its_gpus_back_once_the_host_confirms_the_stop() -> None:
    book = restarted_behind_a_waiter()
    assert instance_status(book, C) is InstanceStatus.SCHEDULING
    assert book.manifest.leases[0].contract_id == C
    assert book.bells[-1].generation == instance(book, C).generation
    granted = grant_waiters(hear(book, C, "stopped"), NOW)
    assert granted.manifest.leases[0].contract_id == B
    assert (instance_status(granted, B), instance_status(granted, C)) == (
        InstanceStatus.LOADING,
        InstanceStatus.SCHEDULING,
    )
    assert instance(granted, C).token is None


def test_a_restart_behind_a_waiter_is_commanded_again_when_its_bell_was_lost() -> None:
    book = restarted_behind_a_waiter()
    later, report = NOW + COMMAND_IN_FLIGHT_S + 1, make_report([])
    assert C in contracts_to_read(book.manifest, report, later)
    assert observe(book, report, later).bells[-1].contract_id == C


def test_a_wait_that_is_cancelled_keeps_the_lease_until_the_host_confirms_the_stop() -> None:
    cancelled = stop(restarted_behind_a_waiter(), C)
    assert instance_status(cancelled, C) is InstanceStatus.STOPPING
    assert cancelled.manifest.leases[0].contract_id == C
    granted = grant_waiters(hear(cancelled, C, "stopped"), NOW)
    assert instance_status(granted, C) is InstanceStatus.STOPPED
    assert granted.manifest.leases[0].contract_id == B


def test_a_quarantined_gpu_is_not_granted() -> None:
    stopped = hear(stop(one_gpu_book()), A, "stopped")
    out_of_use = stopped.with_manifest(replace(stopped.manifest, quarantined=(0,)))
    assert instance_status(start(out_of_use)) is InstanceStatus.SCHEDULING


def test_one_instance_of_several_is_stopped_alone() -> None:
    book = active(Book(make_manifest()), A, num_gpus=2, instances=2)
    stopped = stop(book, A, 101)
    assert [each.status for each in stopped.contract(A).instances] == [InstanceStatus.RUNNING, InstanceStatus.STOPPING]
    assert wanted_of(stopped.contract(A)) is Desired.RUNNING


def test_an_unknown_instance_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        stop(one_gpu_book(), A, 999)


def test_a_pending_contract_is_neither_started_nor_stopped() -> None:
    pending = rent(Book(make_manifest()))
    for act in (start, stop):
        with pytest.raises(ConflictError, match="provisioned"):
            act(pending)


def test_an_expired_contract_does_not_start_also_before_anyone_wrote_it_down() -> None:
    stopped = hear(stop(one_gpu_book()), A, "stopped")
    with pytest.raises(ContractExpiredError):
        start(stopped, now=NOW + 3600)


def test_what_is_over_neither_starts_nor_stops() -> None:
    ending = end_early(one_gpu_book(), A, NOW, CAUSE)
    for act in (start, stop):
        with pytest.raises(ContractOverError):
            act(ending)
