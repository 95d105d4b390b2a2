"""I10: what a client sent in confidence stands in plain text in no table and in no file of the host."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tests.walker.snapshot import Snapshot


def secrets_in_plain_text(seen: Snapshot, planted: Iterable[str]) -> Iterator[str]:
    """Names the place, never the secret."""
    places = {f"{item['pk']} {item['sk']}": json.dumps(item, default=str) for item in seen.tables.items}
    places |= seen.machine.texts
    for number, secret in enumerate(planted, 1):
        for name, text in places.items():
            if secret in text:
                yield f"planted secret {number} stands in {name}"
