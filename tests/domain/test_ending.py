"""Rules 8 and 9: the end, the grace, the point of no return; extension and early end."""

from dataclasses import replace

import pytest

from rental.domain.book import Book
from rental.domain.ending import begin_deletion, end_early, expire, extend, fail
from rental.domain.errors import ContractExpiredError, ContractOverError, InvalidRequestError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.running import start_instances, stop_instances
from tests.fakes.builders import CAUSE, TERMS, active, hear, instance_status, make_manifest, rent
from tests.fakes.ports import NOW

A, B = ContractId(100), ContractId(200)
END = NOW + 3600
DELETE_AFTER = END + TERMS.grace_s


def running() -> Book:
    return active(Book(make_manifest(1)))


def expired() -> Book:
    return hear(expire(running(), A, END), A, "stopped", END + 1)


def waiting() -> Book:
    """On a 1-GPU host A waits for the GPU that B runs on."""
    stopped = hear(stop_instances(running(), A, None, NOW, CAUSE), A, "stopped")
    return start_instances(active(stopped, B, duration_s=7200), A, None, NOW, CAUSE)


def test_nothing_expires_a_second_early() -> None:
    book = running()
    assert expire(book, A, END - 1) == book


def test_at_its_end_a_contract_expires_and_its_instances_stop() -> None:
    book = expire(running(), A, END)
    assert book.contract(A).status is ContractStatus.EXPIRED
    assert (instance_status(book), book.contract(A).instances[0].desired) == (
        InstanceStatus.STOPPING,
        Desired.STOPPED,
    )
    assert book.bells[-1].urgent
    assert 0 in book.manifest.leases


def test_expiry_is_by_time_also_before_anyone_has_written_it() -> None:
    contract = running().contract(A)
    assert contract.status_at(END - 1) is ContractStatus.ACTIVE
    assert contract.status_at(END) is ContractStatus.EXPIRED


def test_gpus_of_an_expired_contract_come_back_on_the_hosts_word_and_its_disk_stays_held() -> None:
    book = expired()
    assert not book.manifest.leases
    assert A in book.manifest.claims


def test_expiring_twice_has_one_effect() -> None:
    once = expire(running(), A, END)
    assert expire(once, A, END) == once


def test_expiry_cancels_a_queued_start() -> None:
    book = expire(waiting(), A, END)
    assert instance_status(book) is InstanceStatus.STOPPED
    assert not book.manifest.waiters


def test_nothing_is_deleted_a_second_before_the_promise() -> None:
    book = expired()
    assert begin_deletion(book, A, DELETE_AFTER - 1) == book


def test_at_delete_after_the_containers_are_wanted_absent() -> None:
    book = begin_deletion(expired(), A, DELETE_AFTER)
    assert book.contract(A).status is ContractStatus.DELETING
    assert book.contract(A).instances[0].desired is Desired.ABSENT
    assert book.contract(A).end_at == END


def test_everything_returns_when_the_host_says_that_it_is_gone() -> None:
    book = begin_deletion(expired(), A, DELETE_AFTER)
    assert A in book.manifest.claims
    deleted = hear(book, A, "absent", DELETE_AFTER + 1)
    assert deleted.contract(A).status is ContractStatus.DELETED
    assert not deleted.manifest.claims
    assert deleted.manifest.disk_free_bytes == deleted.manifest.capacity.disk_bytes


def test_an_extension_shows_at_once_and_moves_the_promise() -> None:
    book = extend(running(), A, END + 100, NOW, CAUSE)
    contract = book.contract(A)
    assert (contract.end_at, contract.delete_after) == (END + 100, DELETE_AFTER + 100)
    assert contract.run == 1
    assert book.manifest.claims[A].end_at == END + 100


def test_a_running_instance_is_told_of_its_new_end_under_its_old_token() -> None:
    before = running().contract(A).instances[0]
    book = extend(running(), A, END + 100, NOW, CAUSE)
    told = book.contract(A).instances[0]
    assert (told.token, told.generation) == (before.token, before.generation + 1)
    assert book.bells[-1].generation == told.generation


@pytest.mark.parametrize("end_at", [END, END - 1, NOW])
def test_a_contract_is_never_shortened(end_at: int) -> None:
    with pytest.raises(InvalidRequestError):
        extend(running(), A, end_at, NOW, CAUSE)


def test_an_extension_into_the_past_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        extend(expired(), A, END + 50, END + 100, CAUSE)


def test_within_the_grace_an_extended_contract_is_active_again_and_its_instances_stay_stopped() -> None:
    book = extend(expired(), A, END + 7200, END + 100, CAUSE)
    contract = book.contract(A)
    assert (contract.status, contract.run) == (ContractStatus.ACTIVE, 2)
    assert instance_status(book) is InstanceStatus.STOPPED
    assert instance_status(start_instances(book, A, None, END + 101, CAUSE)) is InstanceStatus.LOADING


def test_an_extension_after_the_end_that_nobody_wrote_down_stops_what_ran() -> None:
    book = extend(running(), A, END + 7200, END + 100, CAUSE)
    assert book.contract(A).status is ContractStatus.ACTIVE
    assert instance_status(book) is InstanceStatus.STOPPING
    assert book.contract(A).run == 2


def test_an_extended_contract_is_not_deleted_at_its_old_promise() -> None:
    book = extend(expired(), A, END + 7200, END + 100, CAUSE)
    assert begin_deletion(book, A, DELETE_AFTER) == book
    assert expire(book, A, END + 7199) == book


def test_from_deleting_on_there_is_no_extension() -> None:
    for book in (
        begin_deletion(expired(), A, DELETE_AFTER),
        end_early(running(), A, NOW, CAUSE),
        fail(rent(Book(make_manifest())), A, "broken", NOW, CAUSE),
    ):
        with pytest.raises(ContractOverError):
            extend(book, A, DELETE_AFTER + 7200, NOW, CAUSE)


def test_a_client_ends_early_and_irreversibly_with_a_new_run() -> None:
    book = end_early(running(), A, NOW, CAUSE)
    contract = book.contract(A)
    assert (contract.status, contract.run) == (ContractStatus.ENDING, 2)
    assert contract.instances[0].desired is Desired.ABSENT
    assert book.bells[-1].urgent
    with pytest.raises(ContractExpiredError):
        start_instances(expired(), A, None, END + 1, CAUSE)


def test_what_ends_says_why_until_it_is_gone() -> None:
    stopped = hear(stop_instances(running(), A, None, NOW, CAUSE), A, "stopped")
    assert stopped.contract(A).reason_of(stopped.contract(A).instances[0]) is None
    contract = end_early(stopped, A, NOW, CAUSE).contract(A)
    assert (contract.reason_at(NOW), contract.reason_of(contract.instances[0])) == (
        "The client ended it early.",
        "Its host has been asked to remove it.",
    )


def test_ending_twice_has_one_effect() -> None:
    once = end_early(running(), A, NOW, CAUSE)
    assert end_early(once, A, NOW + 5, CAUSE) == once


def test_a_contract_that_is_over_is_not_ended_again() -> None:
    deleted = hear(end_early(running(), A, NOW, CAUSE), A, "absent")
    with pytest.raises(ContractOverError):
        end_early(deleted, A, NOW, CAUSE)


def test_a_waiting_instance_is_removed_too_when_its_contract_ends() -> None:
    ending = end_early(waiting(), A, NOW, CAUSE)
    assert (instance_status(ending), ending.contract(A).instances[0].desired) == (
        InstanceStatus.STOPPED,
        Desired.ABSENT,
    )
    assert not ending.manifest.waiters
    assert A not in hear(ending, A, "absent").manifest.claims


def test_only_a_pending_contract_fails() -> None:
    book = running()
    assert fail(book, A, "late", NOW, CAUSE) == book


def test_what_a_failed_contract_held_returns_on_the_hosts_word() -> None:
    failed = fail(rent(Book(make_manifest())), A, "The image does not exist.", NOW, CAUSE)
    assert (failed.contract(A).status, failed.contract(A).reason) == (
        ContractStatus.FAILED,
        "The image does not exist.",
    )
    assert 0 in failed.manifest.leases
    released = hear(failed, A, "absent")
    assert released.contract(A).status is ContractStatus.FAILED
    assert not released.manifest.leases
    assert not released.manifest.claims


def test_secrets_are_destroyed_when_the_contract_is_over() -> None:
    failed = fail(rent(Book(make_manifest())), A, "late", NOW, CAUSE)
    for book in (begin_deletion(expired(), A, DELETE_AFTER), end_early(running(), A, NOW, CAUSE), failed):
        assert book.contract(A).launch.sealed is None
    assert expired().contract(A).launch.sealed is not None


def test_someone_looks_again_at_every_contract_that_is_not_over() -> None:
    pending = rent(Book(make_manifest())).contract(A)
    assert pending.next_due == NOW
    assert replace(pending, task_tokens={"provision": "t"}).next_due == NOW + TERMS.provision_timeout_s
    assert running().contract(A).next_due == END
    assert expired().contract(A).next_due == DELETE_AFTER
    ending = end_early(running(), A, NOW, CAUSE)
    assert ending.contract(A).next_due == NOW
    assert hear(ending, A, "absent").contract(A).next_due is None
