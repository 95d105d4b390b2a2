"""The journal file: what this host must not forget, synced before anything is done about it.

One line is one transaction: eight hex digits of CRC-32, a space, JSON. A crash can tear only the last line, which was
then never acknowledged: it is dropped. Damage anywhere else means that the journal is lost, and the host must ask
before it acts. A compaction writes a new file beside the old one and renames it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulease_host.files import write_durably

Entry = Mapping[str, Any]
JOURNAL_VERSION = 1


class JournalError(Exception):
    """The journal cannot be written; nothing may be done that it does not know."""


@dataclass(frozen=True)
class Replay:
    """What stood in the file; `lost` says why it cannot be trusted, when it cannot."""

    entries: tuple[Entry, ...]
    lost: str | None


class Journal:
    """An open journal. One writer; callers hold a lock of their own."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.size_bytes = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, path: Path, host_id: int) -> None:
        """An empty journal, made at registration: from then on a missing one is a lost one."""
        write_durably(path, _encode({"journal": JOURNAL_VERSION, "host_id": host_id}), mode=0o600)

    @classmethod
    def open(cls, path: Path, host_id: int, now: int) -> tuple[Journal, Replay]:
        """Read the journal and open it for more. A lost one is kept aside, for people, and a new one begun."""
        replay, good_bytes = _read(path, host_id)
        if replay.lost is not None:
            if path.exists():
                path.replace(path.with_name(f"{path.name}.lost-{now}"))
            cls.create(path, host_id)
            good_bytes = path.stat().st_size
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(descriptor, good_bytes)
        os.fsync(descriptor)
        return cls(path, descriptor), replay

    def append(self, entry: Entry) -> None:
        """Write one transaction and sync it. Raises JournalError; then nothing of it stays."""
        line = _encode(entry)
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError("short write")
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._take_back()
            raise JournalError(f"the journal cannot be written: {error}") from error
        self.size_bytes += len(line)

    def rewrite(self, host_id: int, entries: Iterable[Entry]) -> None:
        """Replace the file by a shorter one that says the same."""
        lines = [_encode({"journal": JOURNAL_VERSION, "host_id": host_id}), *map(_encode, entries)]
        try:
            write_durably(self._path, b"".join(lines), mode=0o600)
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"the journal cannot be compacted: {error}") from error
        os.close(self._descriptor)
        self._descriptor = descriptor
        self.size_bytes = os.fstat(descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)

    def _take_back(self) -> None:
        """Garbage in the middle would make the whole journal untrusted, so cut it off before the next line."""
        try:
            os.ftruncate(self._descriptor, self.size_bytes)
        except OSError as error:
            raise JournalError(f"the journal cannot be mended: {error}") from error


def _read(path: Path, host_id: int) -> tuple[Replay, int]:
    """The entries, and how many bytes of the file hold them."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Replay((), "there is no journal"), 0
    lines = content.split(b"\n")
    torn_tail = lines.pop()
    entries = [_decode(line) for line in lines]
    if entries and entries[-1] is None and not torn_tail:
        entries.pop()
        lines.pop()
    if not entries or any(entry is None for entry in entries):
        return Replay((), "the journal is damaged"), 0
    header, *rest = [entry for entry in entries if entry is not None]
    if header.get("journal") != JOURNAL_VERSION or header.get("host_id") != host_id:
        return Replay((), "the journal is of another host or version"), 0
    return Replay(tuple(rest), None), sum(len(line) + 1 for line in lines)


def _encode(entry: Entry) -> bytes:
    body = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _decode(line: bytes) -> Entry | None:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        entry = json.loads(body)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
