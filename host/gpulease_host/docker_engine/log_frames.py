"""The log of a container as Docker sends it, read in pieces and up to a bound: a tenant decides how long it is.

A frame has a byte for the stream, three unused, four for its length, and then a line with its time in front.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator

HEAD = struct.Struct(">BxxxL")
Frame = tuple[int, bytes]
"""The stream, 1 or 2, and a line."""


def frames(pieces: Iterable[bytes]) -> Iterator[Frame]:
    """What is cut off at the end is left out."""
    buffer, at = b"", 0
    for piece in pieces:
        buffer, at = buffer[at:] + piece, 0
        while len(buffer) - at >= HEAD.size:
            stream, length = HEAD.unpack_from(buffer, at)
            end = at + HEAD.size + length
            if len(buffer) < end:
                break
            yield stream, buffer[at + HEAD.size : end]
            at = end


def first(of: Iterable[Frame], most_bytes: int) -> list[Frame]:
    """Up to the one with which they are more than that."""
    kept, size = [], 0
    for frame in of:
        kept.append(frame)
        size += len(frame[1])
        if size > most_bytes:
            break
    return kept


def last(of: Iterable[Frame], most_bytes: int) -> list[Frame]:
    """From the one with which they are more than that."""
    kept, size = deque[Frame](), 0
    for frame in of:
        kept.append(frame)
        size += len(frame[1])
        while size - len(kept[0][1]) > most_bytes:
            size -= len(kept.popleft()[1])
    return list(kept)
