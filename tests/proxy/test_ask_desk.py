"""sshd's question at a login: whatever comes instead of an answer lets nobody in, and says so in one line."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.ask_desk import main

KEY = base64.b64encode(b"a key").decode()


class Desk:
    """Answers one question with these bytes."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.answer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self.answer)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk.sock")
    yield made
    made.close()


def test_a_key_that_the_desk_knows_is_printed_with_its_options(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.answer = b"HTTP/1.0 200 OK\r\n\r\nrestrict"
    main(desk.path, "ssh-ed25519", KEY)
    assert capsys.readouterr() == (f"restrict ssh-ed25519 {KEY}\n", "")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0", b"HTTP/1.0 x y\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n\xff"])
def test_what_is_no_answer_lets_nobody_in(desk: Desk, capsys: pytest.CaptureFixture[str], answer: bytes) -> None:
    desk.answer = answer
    main(desk.path, "ssh-ed25519", KEY)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("the desk does not answer")


def test_a_key_that_the_desk_does_not_know_lets_nobody_in(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.answer = b"HTTP/1.0 404 Not Found\r\n\r\n"
    main(desk.path, "ssh-ed25519", KEY)
    assert capsys.readouterr() == ("", "")
