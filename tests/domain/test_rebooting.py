"""Reboot: what runs is restarted on its own GPUs under a new lease; nothing else is."""

from dataclasses import replace

import pytest

from rental.domain.book import Book
from rental.domain.ending import end_early
from rental.domain.errors import ConflictError, ContractExpiredError, ContractOverError, NotFoundError
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import Desired, InstanceStatus
from rental.domain.observation import COMMAND_IN_FLIGHT_S, contracts_to_read
from rental.domain.running import grant_waiters, reboot_instances, start_instances, stop_instances
from rental.service.orders import order_of
from tests.fakes.builders import CAUSE, active, hear, make_manifest, make_report, rent, reported
from tests.fakes.ports import NOW

A, B = ContractId(100), ContractId(200)


def reboot(book: Book, instance_id: int | None = None, now: int = NOW) -> Book:
    chosen = InstanceId(instance_id) if instance_id is not None else None
    return reboot_instances(book, A, chosen, now, CAUSE)


def running() -> Book:
    return active(Book(make_manifest(1)))


def test_a_reboot_is_a_new_lease_of_the_same_gpus_and_the_next_generation() -> None:
    before = running().contract(A).instances[0]
    book = reboot(running())
    after = book.contract(A).instances[0]
    assert (after.status, after.desired) == (InstanceStatus.LOADING, Desired.RUNNING)
    assert (after.generation, after.token) == (before.generation + 1, 2)
    assert after.gpu_indexes == before.gpu_indexes
    assert book.manifest.leases[0].token == 2
    assert (after.started_at, after.exit_code) == (None, None)
    assert (book.bells[-1].instance_id, book.bells[-1].generation) == (after.id, after.generation)
    assert (book.timeline[-1].cause, book.timeline[-1].status) == ("test", "loading")


def test_the_order_of_a_reboot_asks_the_host_to_run_under_the_new_token() -> None:
    contract = reboot(running()).contract(A)
    order = order_of(contract, contract.instances[0])
    assert (order["desired"], order["generation"], order["token"]) == ("running", 2, 2)


def test_what_the_host_says_of_the_old_lease_counts_no_more() -> None:
    before = running()
    book = reboot(before)
    stale = reported(before.contract(A), "exited", exit_code=0)
    assert contracts_to_read(book.manifest, make_report(stale), NOW) == ()
    assert hear(book, A, "exited", generation=1, token=1) == book
    assert hear(book, A, "running").contract(A).instances[0].status is InstanceStatus.RUNNING


def test_a_reboot_that_was_lost_on_the_way_is_commanded_again() -> None:
    book = reboot(running())
    stale = make_report(reported(running().contract(A), "running"))
    assert contracts_to_read(book.manifest, stale, NOW + COMMAND_IN_FLIGHT_S + 1) == (A,)


def test_a_reboot_keeps_its_gpus_from_who_waits_for_them() -> None:
    book = hear(stop_instances(running(), A, None, NOW, CAUSE), A, "stopped")
    book = start_instances(active(book, B), A, None, NOW, CAUSE)
    rebooted = grant_waiters(reboot_instances(book, B, None, NOW, CAUSE), NOW)
    assert rebooted.manifest.leases[0].contract_id == B
    assert rebooted.contract(A).instances[0].waits


def test_of_several_instances_one_or_all_that_run_are_rebooted() -> None:
    book = active(Book(make_manifest(2)), num_gpus=2, instances=2)
    one = reboot(book, 101)
    assert [each.generation for each in one.contract(A).instances] == [1, 2]
    assert [each.generation for each in reboot(book).contract(A).instances] == [2, 2]
    half = hear(stop_instances(book, A, InstanceId(100), NOW, CAUSE), A, "running")
    assert [each.generation for each in reboot(half).contract(A).instances] == [2, 2]


def test_what_does_not_run_is_refused_with_what_it_is() -> None:
    book = running()
    stopping = stop_instances(book, A, None, NOW, CAUSE)
    stopped = hear(stopping, A, "stopped")
    exited = hear(book, A, "exited", exit_code=0)
    for other, status in ((stopping, "stopping"), (stopped, "stopped"), (exited, "exited"), (reboot(book), "loading")):
        with pytest.raises(ConflictError, match=status):
            reboot(other)


def test_a_pending_contract_is_not_rebooted() -> None:
    with pytest.raises(ConflictError, match="provisioned"):
        reboot(rent(Book(make_manifest(1))))


def test_an_expired_contract_is_not_rebooted_also_before_anyone_has_written_it() -> None:
    with pytest.raises(ContractExpiredError):
        reboot(running(), now=running().contract(A).end_at)


def test_a_contract_that_is_over_is_not_rebooted() -> None:
    with pytest.raises(ContractOverError):
        reboot(end_early(running(), A, NOW, CAUSE))


def test_an_instance_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        reboot(running(), 999)


def test_what_could_not_start_again_is_not_stopped() -> None:
    book = running()
    broken = book.with_manifest(replace(book.manifest, quarantined=(0,)))
    with pytest.raises(ConflictError, match="out of use"):
        reboot(broken)
