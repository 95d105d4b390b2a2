"""What is answered to whoever waits, as JSON, and how much of it there may be."""

from __future__ import annotations

import json
from bisect import bisect_right
from typing import Any

MOST_BYTES = 240_000
"""Sealed and in base64url a third more: it has to fit an item of the table beside what names it."""


def encode(said: Any) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode()


def encoded_bytes(said: Any) -> int:
    return len(encode(said))


def cut(text: str, room_bytes: int) -> str:
    """As much of its beginning as fits; a quote or a control character takes more room than it seems."""
    return text[: bisect_right(range(len(text) + 1), room_bytes, key=lambda length: encoded_bytes(text[:length])) - 1]
