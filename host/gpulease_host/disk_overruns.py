"""Instances that use more disk than they hold: ended, and at the next start given a while to delete.

Whoever was ended for it cannot delete anything while stopped. So the next run may go on for ten minutes with what it
had then, and hardly more: what it was not promised may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpulease_host.engine import Overrun
from gpulease_host.ledger import Ledger
from gpulease_host.records import Record

DELETE_S = 600
SLACK_DIVISOR = 20
"""What may be written meanwhile, as a part of the allocation: shells and editors write a little too."""
Run = tuple[int, int | None]


@dataclass
class DiskOverruns:
    ledger: Ledger
    attend: Callable[[int], None]
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    _runs: dict[Run, float] = field(default_factory=dict, init=False)
    """Those that may delete, and since when."""

    def mind(self, overruns: Sequence[Overrun]) -> None:
        """Raises JournalError."""
        found = {each.instance_id: each for each in overruns}
        running = {
            instance_id: record
            for instance_id, record in self.ledger.view().records.items()
            if record.status in ("loading", "running") and record.order.desired == "running"
        }
        self._note_runs(running)
        for instance_id, record in running.items():
            overrun, is_late = found.get(instance_id), self._is_late(record)
            if overrun is None and record.overrun_bytes is not None and is_late:
                self.ledger.amend(instance_id, overrun_bytes=None)
            elif overrun is not None and (is_late or overrun.used_bytes > _most_bytes(record, overrun)):
                self._end(overrun)

    def _note_runs(self, running: dict[int, Record]) -> None:
        now = self.elapsed()
        runs = [_run_of(each) for each in running.values() if each.overrun_bytes is not None and each.begun]
        self._runs = {run: self._runs.get(run, now) for run in runs}

    def _is_late(self, record: Record) -> bool:
        since = self._runs.get(_run_of(record))
        return record.overrun_bytes is None or (since is not None and self.elapsed() - since >= DELETE_S)

    def _end(self, overrun: Overrun) -> None:
        fault = (
            f"It used {overrun.used_bytes} bytes of disk; its allocation is {overrun.allowed_bytes}. "
            f"Start it, and delete what is too much within {DELETE_S // 60} minutes."
        )
        self.ledger.amend(overrun.instance_id, fault=fault, overrun_bytes=overrun.used_bytes)
        self.attend(overrun.instance_id)


def disk_warning(used_bytes: int | None, allowed_bytes: int, *, is_enforced: bool) -> str | None:
    """A sentence for a client whose disk is nearly full, or too full."""
    if used_bytes is None or allowed_bytes <= 0 or used_bytes * 10 < allowed_bytes * 9:
        return None
    if used_bytes > allowed_bytes:
        return (
            f"It uses more than the {allowed_bytes} bytes of disk that it holds. Delete what is too much within "
            f"{DELETE_S // 60} minutes of its start, or it is stopped."
        )
    then = "once it is full, nothing more can be written" if is_enforced else "if it uses more, it is stopped"
    return f"Over 90 % of its {allowed_bytes} bytes of disk are used: {then}."


def _run_of(record: Record) -> Run:
    return record.order.instance_id, record.started_at


def _most_bytes(record: Record, overrun: Overrun) -> int:
    return (record.overrun_bytes or 0) + overrun.allowed_bytes // SLACK_DIVISOR
