"""The table's durable memory: a file with the last state of every item that was ever written.

A line is one request's effect: `[[table, key, item or null], …]` in DynamoDB's JSON. It stands in the file,
synced, before the request is answered. Effects instead of requests make the replay independent of
conditions, clocks and the emulator's own time-to-live sweeps, and compaction a plain fold.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

COMPACT_ABOVE_BYTES = 64 * 1024 * 1024

Key = dict[str, Any]
Item = dict[str, Any]


class JournalError(Exception):
    """The journal holds a line that no writer of it can have left."""


class Effect(NamedTuple):
    """One item after a write: gone when `item` is None."""

    table: str
    key: Key
    item: Item | None


@dataclass(frozen=True)
class Position:
    """How far the file has to be synced before an answer may go out."""

    bytes_written: int


class Journal:
    """Append-only and synced; one fsync serves every write that was waiting for it."""

    def __init__(self, path: Path, *, compact_above_bytes: int = COMPACT_ABOVE_BYTES) -> None:
        self._path = path
        self._compact_above_bytes = compact_above_bytes
        self._sync_lock = asyncio.Lock()
        self._written = 0
        self._synced = 0
        self._open()

    def append(self, effects: Iterable[Effect]) -> Position:
        """Write one request's effects in one line; the order of calls is the order in the file."""
        line = json.dumps([list(effect) for effect in effects], separators=(",", ":")).encode() + b"\n"
        _write_all(self._fd, line)
        self._size_bytes += len(line)
        self._written += len(line)
        return Position(self._written)

    async def sync(self, position: Position) -> None:
        """Return once everything up to the position is on the disk."""
        while self._synced < position.bytes_written:
            async with self._sync_lock:
                if self._synced >= position.bytes_written:
                    return
                reached = self._written
                await asyncio.to_thread(os.fdatasync, self._fd)
                self._synced = reached

    async def compact_if_grown(self) -> None:
        """Fold the file when it has grown far beyond its state; nobody may append meanwhile."""
        if self._size_bytes <= self._limit_bytes:
            return
        async with self._sync_lock:
            await asyncio.to_thread(lambda: rewrite(self._path, living(load(self._path))))
            os.close(self._fd)
            self._open()
            self._synced = self._written

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size_bytes = os.fstat(self._fd).st_size
        self._limit_bytes = max(self._compact_above_bytes, 4 * self._size_bytes)


def living(effects: Iterable[Effect]) -> list[Effect]:
    """The effects whose item is there."""
    return [effect for effect in effects if effect.item is not None]


def load(path: Path) -> list[Effect]:
    """The last effect on each item, in the order the items first appeared.

    A half line at the end was never acknowledged (the process died while it wrote) and is dropped.
    """
    last: dict[str, Effect] = {}
    if not path.exists():
        return []
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            for table, key, item in _parse(path, line):
                last[_identity(table, key)] = Effect(table, key, item)
    return list(last.values())


def rewrite(path: Path, effects: Iterable[Effect]) -> None:
    """Replace the journal by a state, one line an item, in one atomic step."""
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for effect in effects:
            _write_all(fd, json.dumps([list(effect)], separators=(",", ":")).encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)
    _sync_folder(path.parent)


def _parse(path: Path, line: bytes) -> list[tuple[str, Key, Item | None]]:
    try:
        parsed: list[tuple[str, Key, Item | None]] = json.loads(line)
    except ValueError as error:
        raise JournalError(f"{path} is damaged: {error}") from error
    return parsed


def _identity(table: str, key: Key) -> str:
    """One string an item: 7 and 7.0 are one number to DynamoDB."""
    plain = {name: [kind, _plain(kind, value)] for name, typed in key.items() for kind, value in typed.items()}
    return f"{table}\0{json.dumps(plain, sort_keys=True)}"


def _plain(kind: str, value: str) -> str:
    return str(Decimal(value).normalize()) if kind == "N" else value


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
