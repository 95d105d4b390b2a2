"""Whom a contract lets in: copies of keys, replaced without a restart, and only while somebody could get in."""

from dataclasses import replace

import pytest

from rental.domain.book import Book
from rental.domain.ending import begin_deletion, end_early, expire, fail
from rental.domain.errors import ConflictError, ContractExpiredError, ContractOverError, InvalidRequestError
from rental.domain.ids import ContractId
from rental.domain.letting_in import UNDER_WAY, distinct_keys, first_keys, lets_in, replace_ssh_keys
from rental.domain.lifecycle import Desired, InstanceStatus
from rental.domain.observation import COMMAND_IN_FLIGHT_S, contracts_to_read
from rental.domain.running import reboot_instances, start_instances, stop_instances
from rental.domain.ssh_key import parse_ssh_key
from rental.service.orders import order_of
from tests.fakes.builders import CAUSE, active, hear, make_manifest, make_report, rent, reported
from tests.fakes.ports import NOW
from tests.fakes.ssh import make_line

A, B = ContractId(100), ContractId(200)
OLD, NEW = (make_line(1, "me@laptop"),), (make_line(2), make_line(3))


def with_ssh(book: Book, mode: str = "ssh") -> Book:
    """The book whose contract lets in the old key, whatever its host can do for that."""
    contract = book.contract(A)
    return book.with_contract(replace(contract, launch=replace(contract.launch, mode=mode, ssh_keys=OLD)))


def running(mode: str = "ssh", gpus: int = 2, **request: object) -> Book:
    return with_ssh(active(Book(make_manifest(gpus)), **request), mode)  # type: ignore[arg-type]


def renew(book: Book, keys: tuple[str, ...] = NEW, now: int = NOW) -> Book:
    return replace_ssh_keys(book, A, keys, now, CAUSE)


@pytest.mark.parametrize("mode", ["ssh", "jupyter"])
def test_a_contract_starts_with_the_keys_given_or_with_all_that_its_account_has(mode: str) -> None:
    assert first_keys(mode, NEW, OLD) == NEW
    assert first_keys(mode, None, OLD) == OLD


def test_mode_ssh_without_any_key_is_refused_with_what_to_do() -> None:
    for given in (None, ()):
        with pytest.raises(ConflictError, match="POST /v1/ssh-keys"):
            first_keys("ssh", given, ())


def test_jupyter_gets_by_without_a_key_and_args_has_none() -> None:
    assert first_keys("jupyter", None, ()) == ()
    assert first_keys("jupyter", (), OLD) == ()
    assert first_keys("args", None, OLD) == ()
    with pytest.raises(InvalidRequestError, match="mode args"):
        first_keys("args", NEW, OLD)


def test_each_key_is_kept_once_as_it_was_first_sent_and_a_wrong_one_refuses_all() -> None:
    line = make_line(1, "me@laptop")
    assert distinct_keys([f" {line}\n", make_line(2), make_line(1, "again")]) == (line, make_line(2))
    with pytest.raises(InvalidRequestError):
        distinct_keys([line, f'command="reboot" {line}'])


def test_what_runs_is_told_under_its_lease_and_goes_on_running() -> None:
    before = running().contract(A).instances[0]
    book = renew(running())
    after = book.contract(A).instances[0]
    assert (after.generation, after.token, after.status) == (before.generation + 1, before.token, before.status)
    assert (after.reason, after.desired) == (UNDER_WAY, Desired.RUNNING)
    assert (book.bells[-1].instance_id, book.bells[-1].generation) == (after.id, after.generation)
    order = order_of(book.contract(A), after)
    assert (order["generation"], order["keys_revision"], order["desired"]) == (2, 1, "running")
    assert order_of(running().contract(A), before)["keys_revision"] == 0


def test_it_says_that_it_is_under_way_until_the_host_has_done_so() -> None:
    book = renew(running())
    before_it = make_report(reported(book.contract(A), "running", generation=1))
    assert contracts_to_read(book.manifest, before_it, NOW) == ()
    assert hear(book, A, "running", generation=1).contract(A).reason_of(book.contract(A).instances[0]) == UNDER_WAY
    done = make_report(reported(book.contract(A), "running"))
    assert contracts_to_read(book.manifest, done, NOW) == (A,)
    instance = hear(book, A, "running").contract(A).instances[0]
    assert (instance.status, instance.reason) == (InstanceStatus.RUNNING, None)


def test_a_command_that_was_lost_is_sent_again() -> None:
    book = renew(running())
    stale = make_report(reported(book.contract(A), "running", generation=1))
    assert contracts_to_read(book.manifest, stale, NOW + COMMAND_IN_FLIGHT_S + 1) == (A,)


def test_the_timeline_names_who_did_it_and_whom_it_lets_in() -> None:
    entry = renew(running()).timeline[-1]
    assert (entry.actor, entry.cause, entry.status, entry.instance_id) == (CAUSE.actor, CAUSE.cause, "active", None)
    assert entry.reason == f"Lets in {', '.join(parse_ssh_key(line).fingerprint for line in NEW)}."
    assert renew(running(), ()).timeline[-1].reason == "Lets in nobody."


def test_the_same_keys_again_change_nothing() -> None:
    once = renew(running())
    assert renew(once, now=NOW + 5) == once


def test_a_pending_contract_takes_other_keys_before_it_runs() -> None:
    book = renew(with_ssh(rent(Book(make_manifest(1)))))
    instance = book.contract(A).instances[0]
    assert (instance.status, instance.generation, book.contract(A).launch.ssh_keys) == ("creating", 2, NEW)
    assert hear(book, A, "running").contract(A).status == "active"


def test_what_is_stopped_is_not_told_and_has_them_when_it_starts() -> None:
    stopped = hear(stop_instances(running(), A, None, NOW, CAUSE), A, "stopped")
    book = renew(stopped)
    assert book.contract(A).instances == stopped.contract(A).instances
    assert book.bells == stopped.bells
    started = start_instances(book, A, None, NOW, CAUSE).contract(A)
    assert (started.launch.ssh_keys, order_of(started, started.instances[0])["keys_revision"]) == (NEW, 1)


def test_what_waits_for_its_gpus_is_told_when_its_turn_comes() -> None:
    stopped = hear(stop_instances(running(gpus=1), A, None, NOW, CAUSE), A, "stopped")
    waiting = start_instances(active(stopped, B), A, None, NOW, CAUSE)
    book = renew(waiting)
    assert book.contract(A).instances == waiting.contract(A).instances
    assert book.contract(A).launch.ssh_keys == NEW


def test_of_several_instances_all_that_run_are_told() -> None:
    book = running(num_gpus=2, instances=2)
    one = stop_instances(book, A, book.contract(A).instances[1].id, NOW, CAUSE)
    assert [each.generation for each in renew(book).contract(A).instances] == [2, 2]
    assert [each.generation for each in renew(one).contract(A).instances] == [2, 2]


def test_what_is_being_rebooted_gets_them_too() -> None:
    book = renew(reboot_instances(running(), A, None, NOW, CAUSE))
    instance = book.contract(A).instances[0]
    assert (instance.status, instance.generation, instance.token) == ("loading", 3, 2)
    assert instance.reason != UNDER_WAY


def test_an_expired_contract_takes_none_also_before_anyone_has_written_it() -> None:
    end_at = running().contract(A).end_at
    for book in (running(), expire(running(), A, end_at)):
        with pytest.raises(ContractExpiredError):
            renew(book, now=end_at)


def test_a_contract_that_is_over_takes_none() -> None:
    promised = running().contract(A).delete_after
    deleting = begin_deletion(expire(running(), A, promised), A, promised)
    failed = fail(with_ssh(rent(Book(make_manifest(1)))), A, "late", NOW, CAUSE)
    for book in (end_early(running(), A, NOW, CAUSE), deleting, failed):
        with pytest.raises(ContractOverError):
            renew(book)


def test_mode_args_takes_none() -> None:
    with pytest.raises(ConflictError, match="mode is args"):
        renew(running("args"))


def test_a_key_is_found_in_what_is_live_under_any_comment() -> None:
    stolen = parse_ssh_key(make_line(1, "another comment")).id
    contract = running().contract(A)
    expired = expire(running(), A, contract.end_at).contract(A)
    assert lets_in(contract, stolen)
    assert lets_in(expired, stolen)
    assert not lets_in(end_early(running(), A, NOW, CAUSE).contract(A), stolen)
    assert not lets_in(renew(running()).contract(A), stolen)
