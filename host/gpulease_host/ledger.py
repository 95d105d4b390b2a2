"""The host's memory for all its threads: every change is in the journal before anyone can see it.

Changes are compare-and-swap on whole records: who decided on what is no longer true decides again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpulease_host.admit import Admission, Again, Refused, Taken, admit, fenced_by
from gpulease_host.decide import tombstone_is_over
from gpulease_host.engine import Container, Order
from gpulease_host.journal import Entry, Journal
from gpulease_host.memory import Memory, changed, docker_entry, replayed, time_entry
from gpulease_host.records import Fence, KnownDocker, Record
from gpulease_host.trusted_clock import Anchor

COMPACT_ABOVE_BYTES = 1 << 20
SEQ_BLOCK = 1000
UNSAID = frozenset({"seq", "time", "docker", "leftovers"})
"""What no report tells."""
ASK_FIRST = "The journal was lost; this host asks for its manifest before it takes orders."


@dataclass(frozen=True)
class View:
    """A consistent copy of what is remembered."""

    records: Mapping[int, Record]
    fences: Mapping[str, Fence]
    strays: Mapping[int, int]
    lost: bool
    docker: KnownDocker | None = None
    time: Anchor | None = None


class Ledger:
    def __init__(
        self,
        journal: Journal,
        memory: Memory,
        host_id: int,
        clock: Callable[[], float],
        compact_above_bytes: int = COMPACT_ABOVE_BYTES,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change of what is remembered, with the lock held: only to ring a bell."""
        self._journal = journal
        self._memory = memory
        self._host_id = host_id
        self._clock = clock
        self._lock = threading.RLock()
        self._next_seq = memory.seq + 1
        self._confirmed: dict[int, str] = {}
        self._compact_above_bytes = compact_above_bytes
        self._compact_at_bytes = compact_above_bytes

    @classmethod
    def open(
        cls, path: Path, host_id: int, clock: Callable[[], float], compact_above_bytes: int = COMPACT_ABOVE_BYTES
    ) -> Ledger:
        """Replay the journal. A lost one leaves a ledger that is `lost` until it has been asked and rebuilt."""
        now = int(clock())
        journal, replay = Journal.open(path, host_id, now)
        ledger = cls(journal, replayed(replay.entries), host_id, clock, compact_above_bytes)
        if replay.lost is not None:
            ledger._write({"lost": True})
        if ledger._memory.seq == 0:
            # Milliseconds outrun any sequence used before, so that also a lost journal repeats none.
            ledger._next_seq = now * 1000 + 1
        return ledger

    def view(self) -> View:
        with self._lock:
            memory = self._memory
            return View(
                dict(memory.records), dict(memory.fences), dict(memory.strays), memory.lost, memory.docker, memory.time
            )

    def record(self, instance_id: int) -> Record | None:
        with self._lock:
            return self._memory.records.get(instance_id)

    def fenced_by(self, record: Record) -> int | None:
        with self._lock:
            return fenced_by(record.order, self._memory.fences)

    def is_confirmed(self, instance_id: int, run_id: str) -> bool:
        """Whether the control plane named this instance since this run of machine, Docker and daemon began."""
        with self._lock:
            return self._confirmed.get(instance_id) == run_id

    def admit(self, orders: Collection[Order], not_after: int | None, run_id: str) -> list[tuple[Order, Admission]]:
        """Take what may be taken, in one transaction. `not_after` None: from the manifest. Raises JournalError."""
        with self._lock:
            if self._memory.lost and not_after is not None:
                return [(order, Refused(ASK_FIRST)) for order in orders]
            verdicts: list[tuple[Order, Admission]] = []
            records, fences = dict(self._memory.records), dict(self._memory.fences)
            for order in orders:
                verdict = self._admit_one(order, records, fences, not_after)
                verdicts.append((order, verdict))
                if not isinstance(verdict, Refused):
                    self._confirmed[order.instance_id] = run_id
            self._write_changes(records, fences)
            return verdicts

    def swap(self, before: Record, after: Record) -> bool:
        """Replace the record, unless it is no longer the one that was decided on."""
        with self._lock:
            if self._memory.records.get(before.order.instance_id) != before:
                return False
            if after != before:
                self._write(changed(records=(after,)))
            return True

    def amend(self, instance_id: int, **changes: Any) -> None:
        """Note what has happened, whatever is wanted by now."""
        with self._lock:
            record = self._memory.records.get(instance_id)
            if record is not None and replace(record, **changes) != record:
                self._write(changed(records=(replace(record, **changes),)))

    def note_ended(self, instance_id: int) -> None:
        """This host has stopped the container: its old lease counts no more."""
        self.amend(instance_id, token=None, begun_over=None, begun=False)

    def note_strays(self, found: Collection[int]) -> Mapping[int, int]:
        """Remember since when each unclaimed container is known; answer that."""
        with self._lock:
            known = self._memory.strays
            now = int(self._clock())
            news = {each: now for each in found if each not in known} | {
                each: None for each in known if each not in found
            }
            if news:
                self._write({"strays": {str(each): seen for each, seen in news.items()}})
            return dict(self._memory.strays)

    def forget_old(self) -> None:
        """Drop tombstones whose time is over."""
        with self._lock:
            now = self._clock()
            over = [each for each, record in self._memory.records.items() if tombstone_is_over(record, now)]
            if over:
                self._write({"forget": over})

    def rebuild(self, containers: Collection[Container], orders: Collection[Order]) -> None:
        """After a lost journal: fences from the labels, and what runs under a lease of the manifest keeps it."""
        adopted = [each for each in (_adopt(order, containers) for order in orders) if each is not None]
        seen = [(uuid, Fence(each.token, each.instance_id)) for each in containers for uuid in each.gpus]
        seen += [
            (gpu.uuid, Fence(each.token, each.order.instance_id))
            for each in adopted
            for gpu in each.order.gpus
            if each.token is not None
        ]
        fences = dict(sorted(seen, key=lambda pair: pair[1].token))
        with self._lock:
            self._write_changes({each.order.instance_id: each for each in adopted}, self._memory.fences | fences)

    def note_asked(self) -> None:
        """The control plane was asked after the journal was lost."""
        with self._lock:
            if self._memory.lost:
                self._write({"lost": False})

    def note_docker(self, docker: KnownDocker) -> None:
        """The Docker that this host works on from now on."""
        with self._lock:
            self._write(docker_entry(docker))

    def note_time(self, anchor: Anchor) -> None:
        """What the clock goes on from after a restart."""
        with self._lock:
            self._write(time_entry(anchor))

    def next_seq(self) -> int:
        """A number that no event of this host ever had or will have, also across kill -9."""
        with self._lock:
            if self._next_seq > self._memory.seq:
                self._write({"seq": self._next_seq + SEQ_BLOCK - 1})
            seq = self._next_seq
            self._next_seq += 1
            return seq

    def close(self) -> None:
        with self._lock:
            self._journal.close()

    def _admit_one(
        self,
        order: Order,
        records: dict[int, Record],
        fences: dict[str, Fence],
        not_after: int | None,
    ) -> Admission:
        verdict = admit(order, records.get(order.instance_id), fences, self._clock(), not_after)
        if isinstance(verdict, Taken | Again):
            records[order.instance_id] = verdict.record
        if isinstance(verdict, Taken):
            fences |= verdict.fences
        return verdict

    def _write_changes(self, records: Mapping[int, Record], fences: Mapping[str, Fence]) -> None:
        known = self._memory
        news = [each for instance_id, each in records.items() if known.records.get(instance_id) != each]
        raised = {uuid: fence for uuid, fence in fences.items() if known.fences.get(uuid) != fence}
        if news or raised:
            self._write(changed(news, raised))

    def _write(self, entry: Entry) -> None:
        self._journal.append(entry)
        self._memory.apply(entry)
        if entry.keys() - UNSAID:
            self.on_change()
        if self._journal.size_bytes > self._compact_at_bytes:
            self._journal.rewrite(self._host_id, self._memory.entries())
            self._compact_at_bytes = max(self._compact_above_bytes, 2 * self._journal.size_bytes)


def _adopt(order: Order, containers: Collection[Container]) -> Record | None:
    """What runs under a lease that the manifest still names runs on, instead of being restarted for our loss."""
    if order.desired != "running" or order.token is None:
        return None
    for container in containers:
        if container.instance_id == order.instance_id and container.status == "running":
            if container.token > order.token:
                return None
            return Record(order, "running", token=order.token, begun=True, started_at=container.started_at)
    return None
