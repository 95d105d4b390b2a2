"""Rules 2, 11, 12 and 13: what a host's report teaches, and what it cannot change."""

from dataclasses import replace
from typing import Any

import pytest

from rental.domain.book import Book
from rental.domain.contract import Progress
from rental.domain.ending import end_early
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.observation import (
    COMMAND_IN_FLIGHT_S,
    Report,
    ReportedGpu,
    ReportedStatus,
    contracts_to_read,
    observe,
)
from rental.domain.running import start_instances, stop_instances
from tests.fakes.builders import CAUSE, HOST, active, hear, instance_status, make_manifest, make_report, rent, reported
from tests.fakes.ports import NOW

A = ContractId(100)
LATER = NOW + COMMAND_IN_FLIGHT_S + 1


def pending() -> Book:
    return rent(Book(make_manifest()))


def running() -> Book:
    return active(Book(make_manifest()))


def stopping() -> Book:
    return stop_instances(running(), A, None, NOW, CAUSE)


def test_a_contract_is_active_once_all_its_instances_run() -> None:
    book = rent(Book(make_manifest()), num_gpus=2, instances=2)
    first, second = reported(book.contract(A), "running")
    half = observe(book, make_report([first]), NOW)
    assert half.contract(A).status is ContractStatus.PENDING
    whole = observe(half, make_report([first, second]), NOW)
    assert whole.contract(A).status is ContractStatus.ACTIVE


def test_what_runs_may_have_a_reason_a_digest_and_an_exit_code_of_onstart() -> None:
    told: dict[str, Any] = {"reason": "Over 90 % of its disk.", "onstart_exit_code": 3, "image_digest": "sha256:1"}
    book = hear(running(), A, "running", **told)
    instance = book.contract(A).instances[0]
    assert (instance.reason, instance.onstart_exit_code, instance.image_digest) == tuple(told.values())
    (said,) = (replace(each, **told) for each in reported(book.contract(A), "running"))
    assert contracts_to_read(book.manifest, make_report([said]), NOW) == ()
    ended = replace(said, onstart_exit_code=4)
    assert contracts_to_read(book.manifest, make_report([ended]), NOW) == (A,)
    after = hear(book, A, "running").contract(A).instances[0]
    assert (after.reason, after.image_digest) == (None, "sha256:1")


def test_a_start_forgets_how_onstart_ended_before() -> None:
    book = hear(running(), A, "running", onstart_exit_code=3)
    book = hear(book, A, "exited", reason="done", exit_code=0, onstart_exit_code=3)
    assert book.contract(A).instances[0].onstart_exit_code == 3
    book = start_instances(book, A, None, NOW, CAUSE)
    assert book.contract(A).instances[0].onstart_exit_code is None


def test_a_loading_host_says_so_before_it_has_applied_the_generation() -> None:
    book = hear(pending(), A, "loading", generation=0, reason="pulling the image")
    assert (instance_status(book), book.contract(A).instances[0].reason) == (
        InstanceStatus.LOADING,
        "pulling the image",
    )


def test_how_far_a_pull_is_stands_there_as_long_as_it_lasts() -> None:
    first, later = Progress(0, 3, 10, 100), Progress(1, 3, 90, 200)
    book = hear(pending(), A, "loading", generation=0, reason="1 of 3", progress=first)
    assert book.contract(A).instances[0].progress == first
    report = make_report(reported(book.contract(A), "loading", generation=0, reason="2 of 3", progress=later))
    assert contracts_to_read(book.manifest, report, NOW) == (A,)
    book = observe(book, report, NOW)
    assert book.contract(A).instances[0].progress == later
    assert len(book.timeline) == len(hear(pending(), A, "loading", generation=0).timeline), "no line for each step"
    assert hear(book, A, "running").contract(A).instances[0].progress is None


def test_the_host_key_is_learnt_once_it_is_said_and_kept_over_reports_without_it() -> None:
    book = hear(pending(), A, "loading", generation=0, ssh_host_key="ssh-ed25519 AAAA")
    assert book.contract(A).instances[0].ssh_host_key == "ssh-ed25519 AAAA"
    book = hear(book, A, "running")
    assert book.contract(A).instances[0].ssh_host_key == "ssh-ed25519 AAAA"
    again = hear(
        start_instances(hear(stop_instances(book, A, None, NOW, CAUSE), A, "stopped"), A, None, NOW, CAUSE),
        A,
        "running",
        ssh_host_key="ssh-ed25519 BBBB",
    )
    assert again.contract(A).instances[0].ssh_host_key == "ssh-ed25519 BBBB"


def test_a_report_that_changes_nothing_touches_no_contract() -> None:
    book = running()
    report = make_report(reported(book.contract(A), "running"))
    assert contracts_to_read(book.manifest, report, LATER) == ()
    assert observe(book, report, NOW) == book


def test_a_report_of_an_older_generation_says_nothing_about_now() -> None:
    book = stopping()
    assert hear(book, A, "stopped", generation=1) == book


def test_a_running_report_under_another_token_is_not_believed() -> None:
    book = pending()
    assert hear(book, A, "running", token=99) == book


def test_a_container_that_exits_by_itself_is_wanted_stopped_and_its_gpus_return() -> None:
    book = hear(running(), A, "exited", exit_code=0, reason="done")
    instance = book.contract(A).instances[0]
    assert (instance.status, instance.desired) == (InstanceStatus.EXITED, Desired.STOPPED)
    assert (instance.reason, instance.exit_code, instance.token) == ("done", 0, None)
    assert instance.generation == 2
    assert not book.manifest.leases
    assert book.bells[-1].generation == 2


def test_a_container_that_is_done_before_anyone_saw_it_run_makes_its_contract_active() -> None:
    assert hear(pending(), A, "exited", exit_code=0, reason="done").contract(A).status is ContractStatus.ACTIVE


def test_the_reason_of_an_exit_survives_its_confirmation() -> None:
    exited = hear(running(), A, "exited", exit_code=137, reason="oom")
    confirmed = hear(exited, A, "exited")
    assert (instance_status(confirmed), confirmed.contract(A).instances[0].reason) == (InstanceStatus.EXITED, "oom")


def test_a_failed_start_fails_a_pending_contract_and_wants_it_absent() -> None:
    book = hear(pending(), A, "failed", reason="There is no such image.")
    assert (book.contract(A).status, book.contract(A).reason) == (ContractStatus.FAILED, "There is no such image.")
    assert book.contract(A).instances[0].desired is Desired.ABSENT


def test_a_failed_start_of_an_active_contract_stops_the_instance_only() -> None:
    stopped = hear(stopping(), A, "stopped")
    book = hear(start_instances(stopped, A, None, NOW, CAUSE), A, "failed", reason="No such image.")
    assert book.contract(A).status is ContractStatus.ACTIVE
    assert (instance_status(book), book.contract(A).instances[0].desired) == (InstanceStatus.STOPPED, Desired.STOPPED)


@pytest.mark.parametrize("status", ["stopped", "exited", "absent"])
def test_a_lease_stays_while_the_host_still_sees_the_container_on_the_gpu(status: ReportedStatus) -> None:
    book = stopping()
    held = (ReportedGpu(0, "held", InstanceId(100)),)
    report = make_report(reported(book.contract(A), status), held)
    assert observe(book, report, NOW) == book
    assert 0 in book.manifest.leases


def test_only_absent_confirms_a_removal_and_gpus_return_as_soon_as_it_has_stopped() -> None:
    ending = end_early(running(), A, NOW, CAUSE)
    assert hear(ending, A, "stopping") == ending
    stopped = hear(ending, A, "stopped", reason="Docker cannot remove it.")
    assert stopped.contract(A).status is ContractStatus.ENDING
    assert A in stopped.manifest.claims, "its disk is held"
    assert not stopped.manifest.leases
    assert stopped.contract(A).instances[0].reason == "Docker cannot remove it."
    assert hear(stopped, A, "stopped", reason="Docker cannot remove it.") == stopped
    assert hear(stopped, A, "absent").contract(A).status is ContractStatus.DELETED


def test_what_is_removed_stays_so_whatever_its_host_says_then() -> None:
    ending = end_early(active(Book(make_manifest()), num_gpus=2, instances=2), A, NOW, CAUSE)
    first, _ = reported(ending.contract(A), "absent")
    half = observe(ending, make_report([first]), NOW)
    assert observe(half, make_report([replace(first, status="stopped", reason="It is here again.")]), NOW) == half


def test_a_contract_of_two_is_deleted_only_when_both_are_gone() -> None:
    ending = end_early(active(Book(make_manifest()), num_gpus=2, instances=2), A, NOW, CAUSE)
    first, second = reported(ending.contract(A), "absent")
    half = observe(ending, make_report([first]), NOW)
    assert half.contract(A).status is ContractStatus.ENDING
    assert A in half.manifest.claims
    whole = observe(half, make_report([first, second]), NOW)
    assert whole.contract(A).status is ContractStatus.DELETED
    assert not whole.manifest.claims


def test_what_differs_is_commanded_again_once_no_command_is_in_flight() -> None:
    book = pending()
    assert observe(book, make_report([]), NOW + COMMAND_IN_FLIGHT_S) == book
    again = observe(book, make_report([]), LATER)
    assert len(again.bells) == len(book.bells) + 1
    assert observe(again, make_report([]), LATER + 1) == again


def test_a_removal_whose_bell_was_lost_is_commanded_again_also_for_one_that_waited() -> None:
    stopped = hear(stop_instances(active(Book(make_manifest(1))), A, None, NOW, CAUSE), A, "stopped")
    waiting = start_instances(active(stopped, 200), A, None, NOW, CAUSE)
    ending = end_early(waiting, A, NOW, CAUSE)
    report = make_report([])
    assert A in contracts_to_read(ending.manifest, report, LATER)
    assert A in {bell.contract_id for bell in observe(ending, report, LATER).bells[len(ending.bells) :]}


def test_a_container_that_nobody_knows_is_left_alone() -> None:
    book = running()
    stranger = replace(reported(book.contract(A), "running")[0], contract_id=ContractId(5), instance_id=InstanceId(5))
    report = make_report([*reported(book.contract(A), "running"), stranger])
    assert contracts_to_read(book.manifest, report, NOW) == ()
    assert observe(book, report, NOW) == book


def test_a_gpu_in_quarantine_is_taken_out_of_the_market_and_brought_back() -> None:
    book = Book(make_manifest())
    out = observe(book, make_report([], (ReportedGpu(2, "quarantined", None, "GPU-0002"),)), NOW)
    assert out.manifest.free_gpus() == {0, 1, 3}
    assert observe(out, make_report([]), NOW).manifest.free_gpus() == {0, 1, 2, 3}


def test_the_reason_of_a_quarantine_is_kept_until_it_is_over_and_a_figure_in_it_is_no_news() -> None:
    def told(reason: str | None) -> Report:
        return make_report([], (ReportedGpu(7, "quarantined", None, "GPU-0002", reason),))

    once = observe(Book(make_manifest()), told("3072 MiB of its memory are in use"), NOW)
    assert once.manifest.gpu_faults == {2: "3072 MiB of its memory are in use"}
    assert observe(once, told("3080 MiB of its memory are in use"), NOW).manifest is once.manifest
    other = observe(once, told("GPU is lost"), NOW)
    assert other.manifest.gpu_faults == {2: "GPU is lost"}
    assert observe(other, told(None), NOW).manifest.gpu_faults == {}
    assert observe(other, make_report([]), NOW).manifest.gpu_faults == {}


def test_the_reason_of_a_gpu_that_was_never_registered_is_not_kept() -> None:
    strange = (ReportedGpu(0, "quarantined", None, "GPU-new", "It is new."),)
    assert observe(Book(make_manifest()), Report(HOST, {}, strange), NOW).manifest.gpu_faults == {}


def test_a_gpu_that_the_host_does_not_name_any_more_is_out_of_the_market() -> None:
    """After a restart the driver lists three, and numbers them anew."""
    left = tuple(
        ReportedGpu(index, "free", None, uuid) for index, uuid in enumerate(("GPU-0000", "GPU-0002", "GPU-0003"))
    )
    book = observe(Book(make_manifest()), Report(HOST, {}, left), NOW)
    assert book.manifest.free_gpus() == {0, 2, 3}
    assert observe(book, make_report([]), NOW).manifest.free_gpus() == {0, 1, 2, 3}


def test_a_quarantine_is_of_the_gpu_with_that_uuid_whatever_its_number_is_now() -> None:
    moved = (ReportedGpu(0, "quarantined", None, "GPU-0002"), ReportedGpu(1, "free", None, "GPU-0003"))
    book = observe(Book(make_manifest()), Report(HOST, {}, moved), NOW)
    assert book.manifest.free_gpus() == {3}


def test_a_host_that_tells_no_uuids_is_understood_by_its_numbers() -> None:
    told = (ReportedGpu(0, "free", None), ReportedGpu(1, "quarantined", None), ReportedGpu(3, "free", None))
    assert observe(Book(make_manifest()), Report(HOST, {}, told), NOW).manifest.free_gpus() == {0, 3}


def test_a_gpu_that_is_another_than_was_registered_is_not_offered() -> None:
    swapped = tuple(ReportedGpu(index, "free", None, f"GPU-{index:04d}") for index in (0, 1, 2))
    report = Report(HOST, {}, (*swapped, ReportedGpu(3, "free", None, "GPU-new")))
    assert observe(Book(make_manifest()), report, NOW).manifest.free_gpus() == {0, 1, 2}


def test_reasons_do_not_pile_up_in_the_manifest() -> None:
    loading = hear(pending(), A, "loading", reason="x" * 500)
    assert loading.manifest.claims[A].instances[InstanceId(A)].reason == "x" * 500
    exited = hear(loading, A, "exited", reason="y" * 500)
    assert exited.manifest.claims[A].instances[InstanceId(A)].reason is None
    assert exited.contract(A).instances[0].reason == "y" * 500


def test_a_repeated_report_changes_nothing() -> None:
    statuses: tuple[ReportedStatus, ...] = ("running", "loading", "exited", "failed")
    for status in statuses:
        once = hear(pending(), A, status)
        said = reported(pending().contract(A), status)
        assert observe(once, make_report(said), NOW) == once


@pytest.mark.parametrize("status", ["loading", "stopped"])
def test_what_is_pending_at_its_end_fails_with_the_first_report_after_it(status: ReportedStatus) -> None:
    book = pending()
    end = book.contract(A).end_at
    (said,) = (replace(each, generation=0, reason="Its end has passed.") for each in reported(book.contract(A), status))
    report = make_report([said])
    assert observe(book, report, end - 1).contract(A).status is ContractStatus.PENDING
    assert contracts_to_read(book.manifest, report, end) == (A,)
    after = observe(book, report, end)
    assert after.contract(A).status is ContractStatus.FAILED
    assert "had not started when its end came" in (after.contract(A).reason or "")
    assert [each.desired for each in after.contract(A).instances] == [Desired.ABSENT]


def test_what_waits_for_its_deletion_is_not_read_for_its_end() -> None:
    book = stopping()
    end = book.contract(A).end_at
    stopped = observe(book, make_report(reported(book.contract(A), "stopped")), NOW)
    assert contracts_to_read(stopped.manifest, make_report(reported(stopped.contract(A), "stopped")), end + 60) == ()
