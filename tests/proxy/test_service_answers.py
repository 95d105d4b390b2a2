"""Whatever comes instead of an answer is no answer, and nothing worse."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from proxy.service import HttpService, ServiceError
from tests.proxy.service import KEY


class Raw:
    """Answers one request with these bytes, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self.answer)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def raw() -> Iterator[Raw]:
    server = Raw()
    yield server
    server.close()


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nff\r\ncut",
        b"Transfer-Encoding: chunked\r\n\r\nnot hex\r\n",
        b"Content-Length: 100\r\n\r\ncut",
        b"Content-Length: 2\r\n\r\n\xff\xff",
        b"\r\n",
    ],
    ids=["cut chunk", "bad chunk", "cut body", "no text", "nothing"],
)
def test_an_answer_that_is_none_is_an_error_of_the_service(raw: Raw, status: str, rest: bytes) -> None:
    raw.answer = b"HTTP/1.1 " + status.encode() + b"\r\n" + rest
    with pytest.raises(ServiceError):
        HttpService(raw.url, KEY).ports_of("1" * 64)
