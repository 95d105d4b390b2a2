"""Lines of a log, from the frames in which Docker sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from gpulease_host.docker_engine.container_calls import read_logs
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.log_frames import Frame

AT = "2026-01-01T00:00:00.123456789Z"
BEFORE = "1767225600.000000000"


class Frames(DockerApi):
    """A Docker that has these frames for any log."""

    def __init__(self, *frames: tuple[int, str]) -> None:
        super().__init__("unix:///nowhere")
        self._frames = [(stream, f"{AT} {text}".encode()) for stream, text in frames]

    def logs(
        self, container: str, tail: int | None, since: int | str | None, keep: Callable[[Iterable[Frame]], list[Frame]]
    ) -> list[Frame]:
        return keep(self._frames)


@pytest.mark.parametrize("cursor", [None, BEFORE])
def test_a_progress_bar_is_one_line(cursor: str | None) -> None:
    bar = "\r  0%|   | 0/2\r 50%|#  | 1/2\r100%|###| 2/2"
    read = read_logs(Frames((1, "begun\n"), (2, f"{bar}\n"), (1, "done\n")), 1, 10, None, cursor)
    assert [each["text"] for each in read["items"]] == ["begun", bar, "done"]
    assert [each["stream"] for each in read["items"]] == ["stdout", "stderr", "stdout"]
    assert {each["at"] for each in read["items"]} == {AT}
    assert read["next"] == "1767225600.123456789"


def test_a_line_may_end_as_windows_ends_it() -> None:
    assert read_logs(Frames((1, "hello\r\n")), 1, 10, None, None)["items"][0]["text"] == "hello"


def test_a_piece_of_a_long_line_ends_without_a_mark() -> None:
    read = read_logs(Frames((1, "x" * 16384), (1, "y\n")), 1, 10, None, None)
    assert [len(each["text"]) for each in read["items"]] == [16384, 1]


def test_a_line_longer_than_is_looked_at_does_not_keep_what_comes_after_it_for_ever() -> None:
    """Docker writes the same time before each of its pieces."""
    later = "2026-01-01T00:00:01.000000000Z"
    docker = Frames(*[(1, "x" * 16384)] * 200)
    docker._frames.append((1, f"{later} after\n".encode()))
    read = read_logs(docker, 1, 10, None, "1767225600.123456789")
    assert [each["text"] for each in read["items"]] == ["after"]
