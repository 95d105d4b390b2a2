"""A journal file: what was acknowledged is on disk before the answer, and survives kill -9 at any moment.

One line of JSON is one transaction. A line is written whole and flushed to disk before `append` returns; a torn last
line (killed while writing) was never acknowledged and is dropped on reading.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any


class Journal:
    """Transactions in a file, one JSON value a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._file: IO[bytes] | None = None

    def read(self) -> Iterator[Any]:
        """Yield every whole transaction from the start."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)

    def append(self, transaction: Any) -> None:
        """Write a transaction and wait until it is on disk; what could not be written whole is taken back."""
        file = self._opened()
        end = file.seek(0, os.SEEK_END)
        try:
            file.write(_line(transaction))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
        self.lines += 1

    def rewrite(self, transactions: Iterable[Any]) -> None:
        """Replace the file by another one, atomically: a crash leaves the old or the new one."""
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        self.lines = 0
        with fresh.open("wb") as file:
            fresh.chmod(0o600)
            for transaction in transactions:
                file.write(_line(transaction))
                self.lines += 1
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        _sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)
        return self._file


def _line(transaction: Any) -> bytes:
    return json.dumps(transaction, separators=(",", ":")).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
