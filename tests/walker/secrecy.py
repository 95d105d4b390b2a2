"""I10: what a client sent in confidence stands in no table and in no file of the host, in no common encoding."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tests.fakes.planting import forms
from tests.walker.snapshot import Snapshot


def secrets_in_the_open(seen: Snapshot, planted: Iterable[str]) -> Iterator[str]:
    """Names the place, never the secret."""
    places = {f"{item['pk']} {item['sk']}": json.dumps(item, default=str) for item in seen.tables.items}
    places |= seen.machine.texts
    contents = {name: text.encode() for name, text in places.items()}
    for number, secret in enumerate(planted, 1):
        looks = forms(secret.encode())
        for name, content in contents.items():
            if any(look in content for look in looks):
                yield f"planted secret {number} stands in {name}"
