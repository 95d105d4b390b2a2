"""Prints the demo's steps as they happen, each with what it took."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 100
INDENT = "    "
_WRAPPER = textwrap.TextWrapper(
    WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
)
"""What is longer is a command or an address, which must be copied whole."""


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
            print("\n".join(_WRAPPER.wrap(line)), flush=True)

    def table(self, rows: list[tuple[str, str, str]]) -> None:
        """What was promised beside what was read, one row each."""
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        for name, promised, read in rows:
            print(f"{INDENT}{name:<{widths[0]}}  {promised:<{widths[1]}}  {read}", flush=True)

    @property
    def total_s(self) -> float:
        return time.monotonic() - self._began
