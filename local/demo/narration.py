"""Prints the demo's steps as they happen, each with what it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 100


class Narrator:
    """A numbered step with details below it, and a tick with its time when it is done."""

    def __init__(self) -> None:
        self._number = 0
        self._began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        print(f"\n{self._number:2}. {title}", flush=True)
        began = time.monotonic()
        yield
        print(f"    ✓ {time.monotonic() - began:.1f} s", flush=True)

    def say(self, text: str) -> None:
        for line in text.splitlines():
            print(f"    {line}"[:WIDTH], flush=True)

    def table(self, rows: list[tuple[str, str, str]]) -> None:
        """What was promised beside what was read, one row each."""
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        for name, promised, read in rows:
            self.say(f"{name:<{widths[0]}}  {promised:<{widths[1]}}  {read}")

    @property
    def total_s(self) -> float:
        return time.monotonic() - self._began
