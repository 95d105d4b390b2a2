"""Which commands this machine has taken, and how far each has come: a command runs at most once, over any crash.

    accepted ──► started ──► finished ──► reported

`accepted` is on disk before the message is acknowledged, `started` before the script runs. After a crash an accepted
command is acknowledged again and then run, a started one is never run again, a finished one is reported.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from local.ssm.journal import Journal

KEPT_REPORTED = 5000
COMPACT_AFTER_LINES = 20_000


@dataclass(frozen=True)
class Entry:
    """A command: its message until it is over, the replies still owed after it ran."""

    message_id: str
    phase: str
    payload: str = ""
    owed: list[str] = field(default_factory=list)


class Ledger:
    """The commands by message id."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._lock = Lock()
        self._entries: dict[str, Entry] = {}
        for value in self._journal.read():
            self._keep(Entry(**value))
        self._compact()

    def find(self, message_id: str) -> Entry | None:
        """Return what is known of a command."""
        with self._lock:
            return self._entries.get(message_id)

    def unreported(self) -> Iterator[Entry]:
        """Iterate over the commands that are not over, oldest first."""
        with self._lock:
            entries = list(self._entries.values())
        return (entry for entry in entries if entry.phase != "reported")

    def accept(self, message_id: str, payload: str) -> None:
        """Take a command."""
        self._write(Entry(message_id, "accepted", payload))

    def start(self, message_id: str) -> None:
        """Note that its script is about to run."""
        self._advance(message_id, phase="started", payload="")

    def finish(self, message_id: str, owed: list[str]) -> None:
        """Note that it ran, and the replies that tell of it."""
        self._advance(message_id, phase="finished", payload="", owed=owed)

    def report(self, message_id: str) -> None:
        """Note that all is said of it; its id is remembered."""
        self._advance(message_id, phase="reported", payload="", owed=[])

    def _advance(self, message_id: str, **changes: Any) -> None:
        self._write(replace(self.find(message_id) or Entry(message_id, ""), **changes))

    def _write(self, entry: Entry) -> None:
        with self._lock:
            self._journal.append(asdict(entry))
            self._keep(entry)
            if self._journal.lines > COMPACT_AFTER_LINES:
                self._compact()

    def _keep(self, entry: Entry) -> None:
        self._entries.pop(entry.message_id, None)
        self._entries[entry.message_id] = entry

    def _compact(self) -> None:
        reported = [key for key, entry in self._entries.items() if entry.phase == "reported"]
        for key in reported[:-KEPT_REPORTED]:
            del self._entries[key]
        self._journal.rewrite(asdict(entry) for entry in self._entries.values())
