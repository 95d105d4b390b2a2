"""The host's memory across kill -9: nothing acknowledged is lost, no sequence number comes twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpulease_host.journal import Journal
from gpulease_host.ledger import SEQ_BLOCK, Ledger
from gpulease_host.records import Fence
from tests.host.fakes import FakeClock
from tests.host.orders import HOST_ID, NOW, order, uuid_of
from tests.host.rig import Rig


def open_ledger(folder: Path, now: float = NOW) -> Ledger:
    """Opening again without closing is what a kill -9 leaves."""
    return Ledger.open(folder / "journal", HOST_ID, FakeClock(now))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=5))
def test_no_sequence_number_comes_twice_across_kills(
    tmp_path_factory: pytest.TempPathFactory, events_per_life: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("seq")
    Journal.create(folder / "journal", HOST_ID)
    seen: list[int] = []
    for events in events_per_life:
        ledger = open_ledger(folder)
        seen += [ledger.next_seq() for _ in range(events)]
    assert seen == sorted(set(seen))


def test_sequence_numbers_are_reserved_in_blocks(folder: Path) -> None:
    ledger = open_ledger(folder)
    first = ledger.next_seq()
    size = (folder / "journal").stat().st_size
    for _ in range(SEQ_BLOCK - 1):
        ledger.next_seq()
    assert (folder / "journal").stat().st_size == size
    assert open_ledger(folder).next_seq() == first + SEQ_BLOCK


def test_a_lost_journal_repeats_no_sequence_number(folder: Path) -> None:
    before = open_ledger(folder).next_seq()
    (folder / "journal").unlink()
    assert open_ledger(folder, NOW + 2).next_seq() > before + SEQ_BLOCK


def test_what_was_admitted_is_there_after_a_kill(folder: Path) -> None:
    ledger = open_ledger(folder)
    ledger.admit([order(token=5), order(instance_id=12, token=6, gpus=(1,))], NOW + 60, "run-1")
    view = open_ledger(folder).view()
    assert view == ledger.view()
    assert view.fences == {uuid_of(0): Fence(5, 11), uuid_of(1): Fence(6, 12)}


def test_two_orders_of_one_instance_in_one_command_leave_the_higher(folder: Path) -> None:
    ledger = open_ledger(folder)
    ledger.admit([order(generation=2, desired="stopped"), order(generation=1)], NOW + 60, "run-1")
    record = open_ledger(folder).record(11)
    assert record is not None
    assert record.order.generation == 2


def test_a_swap_on_an_outdated_record_does_nothing(folder: Path) -> None:
    ledger = open_ledger(folder)
    ledger.admit([order()], NOW + 60, "run-1")
    record = ledger.record(11)
    assert record is not None
    assert ledger.swap(record, replace(record, reason="first"))
    assert not ledger.swap(record, replace(record, reason="second"))
    assert ledger.record(11) == replace(record, reason="first")


def test_compaction_forgets_nothing(folder: Path) -> None:
    ledger = Ledger.open(folder / "journal", HOST_ID, FakeClock(), compact_above_bytes=4096)
    ledger.next_seq()
    for generation in range(1, 60):
        ledger.admit([order(generation=generation, token=generation)], NOW + 60, "run-1")
        ledger.note_strays([50])
    assert (folder / "journal").stat().st_size < 3 * 4096
    again = open_ledger(folder)
    assert again.view() == ledger.view()
    assert again.next_seq() == ledger.next_seq() + SEQ_BLOCK - 1


def test_with_a_lost_journal_nothing_is_deleted_and_what_holds_its_lease_runs_on(rig: Rig) -> None:
    rig.give(order(token=5), order(instance_id=12, token=6, gpus=(1,)), order(instance_id=13, token=7, gpus=(2,)))
    rig.give(order(instance_id=13, generation=2, desired="stopped", gpus=(2,)))
    before = list(rig.engine.calls)
    (rig.folder / "journal").unlink()
    rig.api.orders = [order(token=5), order(instance_id=13, generation=2, desired="stopped", gpus=(2,))]
    rig.boot(ask=False)
    rig.pass_time(20)
    refused = rig.command(order(instance_id=14, token=9, gpus=(3,)))["refused"]
    assert "journal was lost" in refused[0]["reason"]
    rig.daemon.asker.ask()
    rig.pass_time(20)
    assert rig.engine.calls == before
    assert rig.instance(11)["status"] == "running"
    assert rig.instance(12)["generation"] == 0
    assert "token 6" in rig.give(order(instance_id=14, token=4, gpus=(1,)))["refused"][0]["reason"]
    assert rig.give(order(instance_id=14, token=9, gpus=(3,)))["accepted"] == [14]


def test_a_lost_journal_stays_lost_until_the_control_plane_was_asked(rig: Rig) -> None:
    (rig.folder / "journal").unlink()
    rig.boot(ask=False)
    assert rig.boot(ask=False).daemon.ledger.view().lost
    assert not rig.boot().daemon.ledger.view().lost


def test_a_container_restarted_under_a_later_lease_is_adopted_too(rig: Rig) -> None:
    rig.give(order(token=5))
    rig.give(order(generation=2, desired="stopped"))
    rig.give(order(generation=3, token=8))
    before = list(rig.engine.calls)
    (rig.folder / "journal").unlink()
    rig.api.orders = [order(generation=3, token=8)]
    rig.boot()
    rig.pass_time(20)
    assert rig.engine.calls == before
    assert rig.gpu(0)["token"] == 8
