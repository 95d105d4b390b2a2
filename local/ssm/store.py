"""The service's state: records in memory, every change journalled first.

Start reads the journal, drops what is past keeping and writes it anew; so does growth. A commit is all or nothing.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from local.ssm.journal import Journal
from local.ssm.model import RECORD_TYPES, Cancellation, Command, Invocation, Record

COMMAND_KEPT_S = 30 * 24 * 3600
COMPACT_AFTER_LINES = 20_000

RecordT = TypeVar("RecordT", bound=Record)


class Store:
    """Records by kind and key, durable in one journal file."""

    def __init__(self, path: Path, now: float) -> None:
        self._journal = Journal(path)
        self._records: dict[str, dict[str, Record]] = {kind: {} for kind in RECORD_TYPES}
        self._lock = RLock()  # documents may be put from a deployer's thread
        for transaction in self._journal.read():
            for change in transaction:
                self._replay(change)
        self._drop_old(now)
        self._compact()

    def find(self, kind: type[RecordT], key: str) -> RecordT | None:
        """Return the record of a kind with this key, if there is one."""
        record = self._records[kind.KIND].get(key)
        return record if isinstance(record, kind) else None

    def all(self, kind: type[RecordT]) -> Iterator[RecordT]:
        """Iterate over a copy of all records of a kind, oldest first."""
        for record in list(self._records[kind.KIND].values()):
            if isinstance(record, kind):
                yield record

    def commit(self, puts: Iterable[Record] = (), deletes: Iterable[Record] = ()) -> None:
        """Make these changes durable together, then visible."""
        put_list, delete_list = list(puts), list(deletes)
        changes: list[Any] = [[record.KIND, record.key, record.to_json()] for record in put_list]
        changes += [[record.KIND, record.key, None] for record in delete_list]
        with self._lock:
            self._journal.append(changes)
            for record in put_list:
                self._records[record.KIND][record.key] = record
            for record in delete_list:
                self._records[record.KIND].pop(record.key, None)
            if self._journal.lines > COMPACT_AFTER_LINES + 2 * self._size():
                self._compact()

    def close(self) -> None:
        """Close the journal file."""
        self._journal.close()

    def _replay(self, change: list[Any]) -> None:
        kind, key, value = change
        if kind not in RECORD_TYPES:
            return
        if value is None:
            self._records[kind].pop(key, None)
        else:
            self._records[kind][key] = RECORD_TYPES[kind].from_json(value)

    def _drop_old(self, now: float) -> None:
        dated: list[Command | Invocation | Cancellation] = []
        dated += [*self.all(Command), *self.all(Invocation), *self.all(Cancellation)]
        for record in dated:
            if record.requested_at < now - COMMAND_KEPT_S:
                del self._records[record.KIND][record.key]

    def _compact(self) -> None:
        self._journal.rewrite(
            [[kind, key, record.to_json()]]
            for kind, records in self._records.items()
            for key, record in records.items()
        )

    def _size(self) -> int:
        return sum(len(records) for records in self._records.values())
