"""Answers of Docker line by line, however they come; what is not one ends the call."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine.docker_api import RefusedError
from gpulease_host.docker_engine.docker_stream import MOST_BYTES, docker_lines
from gpulease_host.engine import EngineUnavailableError

OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
POLL_S = 0.05


class Peer:
    """One connection of Docker's, played by a test."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.request = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()

    def play(self, part: Callable[[socket.socket], object]) -> None:
        def run() -> None:
            connection, _ = self._listener.accept()
            with connection:
                self.request = connection.recv(65536)
                part(connection)

        threading.Thread(target=run, daemon=True).start()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path / "d")
    yield made
    made.close()


def answers(peer: Peer) -> list[dict[str, Any] | None]:
    with docker_lines(peer.host, "POST /images/create?x=1", {"X-Registry-Auth": "e30="}, POLL_S) as lines:
        return list(lines)


def test_lines_come_one_by_one_also_in_pieces_and_without_an_end(peer: Peer) -> None:
    def part(connection: socket.socket) -> None:
        for piece in (OK[:20], OK[20:] + b'{"a"', b': 1}\r\n{"b": 2}\n\r\n{"c"', b": 3}"):
            connection.sendall(piece)

    peer.play(part)
    assert [line for line in answers(peer) if line is not None] == [{"a": 1}, {"b": 2}, {"c": 3}]
    head, *headers = peer.request.decode().split("\r\n")
    assert head == "POST /images/create?x=1 HTTP/1.0"
    assert {"Host: docker", "Content-Length: 0", "X-Registry-Auth: e30="} <= set(headers)


def test_silence_is_told_and_leaving_closes_the_connection(peer: Peer) -> None:
    closed = threading.Event()

    def part(connection: socket.socket) -> None:
        if connection.recv(1) == b"":
            closed.set()

    peer.play(part)
    with docker_lines(peer.host, "GET /x", {}, POLL_S) as lines:
        assert next(lines) is None
        assert next(lines) is None
    assert closed.wait(5)


def test_a_refusal_is_dockers_own_sentence(peer: Peer) -> None:
    peer.play(lambda connection: connection.sendall(b'HTTP/1.0 404 Not Found\r\n\r\n{"message":"no such thing"}\n'))
    with pytest.raises(RefusedError, match="no such thing") as caught:
        answers(peer)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.0 200 OK\r\n", b"SSH-2.0\r\n\r\n", OK + b"<html>", OK + b"[1]\n", b"x" * (MOST_BYTES + 70000)],
)
def test_what_is_no_answer_is_docker_being_away(peer: Peer, answer: bytes) -> None:
    peer.play(lambda connection: connection.sendall(answer))
    with pytest.raises(EngineUnavailableError):
        answers(peer)


def test_nobody_there_is_docker_being_away(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError), docker_lines(f"unix://{tmp_path}/none", "GET /x", {}, POLL_S):
        pass
