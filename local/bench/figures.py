"""Figures beside their targets, as lines of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Something measured: a ratio where `unit` is empty. Less is better; no target, no judgement."""

    name: str
    value: float
    target: float | None
    unit: str = ""

    @property
    def is_missed(self) -> bool:
        return self.target is not None and self.value > self.target

    def cells(self) -> tuple[str, str, str, str]:
        """Name, value, target, verdict."""
        if self.target is None:
            return self.name, self._text(self.value), "", ""
        return (
            self.name,
            self._text(self.value),
            f"at most {self._text(self.target)}",
            "MISS" if self.is_missed else "ok",
        )

    def _text(self, value: float) -> str:
        return f"{value:.2f} {self.unit}".rstrip()


def render(figures: Sequence[Figure]) -> str:
    rows = [("figure", "measured", "target", ""), *(each.cells() for each in figures)]
    name, value, target = (max(len(row[column]) for row in rows) for column in range(3))
    return "\n".join(f"{row[0]:<{name}}  {row[1]:>{value}}  {row[2]:>{target}}  {row[3]}".rstrip() for row in rows)
