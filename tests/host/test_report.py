"""What a report has room for: all that a host may carry, and enough of what is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from gpulease_host.journal import Journal
from gpulease_host.ledger import Ledger
from gpulease_host.memory import Memory
from gpulease_host.records import Record, Status
from gpulease_host.report import MOST_INSTANCES, TOMBSTONES, foremost
from handlers.reports import MAX_REPORT_BYTES
from rental.domain.allocation import MAX_INSTANCES_PER_HOST
from tests.host.orders import HOST_ID, NOW, order
from tests.host.rig import Rig


def records(count: int, status: Status, first_id: int = 1000, tombstone_at: int | None = None) -> dict[int, Record]:
    blank = Record(order(), status, tombstone_at=tombstone_at)
    return {each: replace(blank, order=order(each, contract_id=each)) for each in range(first_id, first_id + count)}


def test_a_host_is_given_no_more_than_it_can_report() -> None:
    assert MAX_INSTANCES_PER_HOST + TOMBSTONES <= MOST_INSTANCES


@pytest.mark.parametrize("status", ["stopped", "loading"])
def test_all_that_a_host_may_carry_is_reported_beside_what_is_gone(status: Status) -> None:
    living = records(MAX_INSTANCES_PER_HOST, status)
    gone = records(500, "absent", first_id=5000, tombstone_at=NOW)
    said = dict(foremost({**gone, **living}))
    assert living.keys() <= said.keys()
    assert len(said) == MOST_INSTANCES


def test_the_newest_tombstones_are_said() -> None:
    gone = {
        each: replace(record, tombstone_at=NOW + each)
        for each, record in records(1000, "absent", first_id=1, tombstone_at=NOW).items()
    }
    assert {*range(951, 1001)} <= dict(foremost({**records(1000, "stopped", first_id=5000), **gone})).keys()


def test_what_holds_gpus_is_said_before_what_only_lies_there() -> None:
    settled = records(600, "stopped")
    assert 1 in dict(foremost({**settled, **records(1, "loading", first_id=1)}))


def test_a_full_report_fits_an_event(tmp_path: Path) -> None:
    journal, _ = Journal.open(tmp_path / "journal", HOST_ID, NOW)
    full = records(MAX_INSTANCES_PER_HOST, "exited", 1 << 52) | records(500, "absent", 1 << 51, NOW)
    ledger = Ledger(journal, Memory(full), HOST_ID, lambda: NOW)
    state = replace(Rig(tmp_path).boot().daemon.reporter, ledger=ledger).state()
    assert len(state["instances"]) == MOST_INSTANCES
    jws = jwt.encode({"state": state}, "k" * 32, "HS256")
    assert len(jws) < 0.75 * MAX_REPORT_BYTES
