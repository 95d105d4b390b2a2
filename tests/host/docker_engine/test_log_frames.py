"""A log is read no further than it is wanted, however it comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpulease_host.docker_engine.log_frames import HEAD, first, frames, last

SENT = [(1, b"one"), (2, b""), (1, b"x" * 300), (2, b"four")]
RAW = b"".join(HEAD.pack(stream, len(line)) + line for stream, line in SENT)


def pieces(size: int, raw: bytes = RAW) -> Iterator[bytes]:
    yield from (raw[at : at + size] for at in range(0, len(raw), size))


@pytest.mark.parametrize("size", [1, 7, 8, 9, 64, 1000])
def test_frames_are_the_same_wherever_they_are_cut(size: int) -> None:
    assert list(frames(pieces(size))) == SENT


@pytest.mark.parametrize("left", [1, 8, 9])
def test_what_breaks_off_is_left_out(left: int) -> None:
    whole = len(RAW) - len(SENT[-1][1]) - HEAD.size
    assert list(frames(pieces(50, RAW[: whole + left]))) == SENT[:-1]


def test_of_the_first_no_more_is_read_than_is_wanted() -> None:
    read = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(1)
            yield RAW

    assert first(frames(endless()), 309) == [*SENT, SENT[0]]
    assert len(read) == 2


def test_of_the_last_no_more_is_kept_than_is_wanted() -> None:
    assert last(frames(pieces(10, RAW * 50)), 303) == SENT[2:]
    assert last(iter(()), 10) == []
