"""A long call to Docker that can be given up at any moment: Docker then gives up too.

Docker says nothing, not even a status line, until its own counterpart speaks. So this has a socket of its own and asks
in HTTP/1.0, to which Docker answers with plain lines until it closes.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gpulease_host.docker_engine.docker_api import RefusedError
from gpulease_host.engine import EngineUnavailableError

UNIX = "unix://"
CHUNK_BYTES = 1 << 16
MOST_BYTES = 1 << 20
"""No line and no head is longer."""

Json = dict[str, Any]


@contextmanager
def docker_lines(
    docker_host: str, request: str, headers: Mapping[str, str], poll_s: float
) -> Iterator[Iterator[Json | None]]:
    """The JSON lines of the answer; None whenever `poll_s` went by without one. Leaving early ends the call.

    Raises RefusedError, EngineUnavailableError.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(docker_host.removeprefix(UNIX))
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            connection.sendall(f"{request} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n{head}\r\n".encode())
            connection.settimeout(poll_s)
            yield _parsed(_Received(connection))
    except OSError as error:
        raise EngineUnavailableError(f"Docker does not answer on {docker_host}.", str(error)) from error


class _Received:
    """What has come so far; a poll that brings nothing loses nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self.is_over = False

    def parts(self, separator: bytes) -> Iterator[bytes | None]:
        """Each part up to a separator, the rest at the end; None for each poll in vain."""
        while True:
            part, found, rest = self._buffer.partition(separator)
            if found:
                self._buffer = rest
                yield part
            elif self.is_over:
                yield self._buffer
                return
            elif not self._receive():
                yield None

    def _receive(self) -> bool:
        try:
            received = self._connection.recv(CHUNK_BYTES)
        except TimeoutError:
            return False
        self.is_over = not received
        self._buffer += received
        if len(self._buffer) > MOST_BYTES:
            raise EngineUnavailableError("Docker answered something that is not its API")
        return True


def _parsed(received: _Received) -> Iterator[Json | None]:
    status = 0
    for head in received.parts(b"\r\n\r\n"):
        if head is not None:
            status = _status(head)
            break
        yield None
    for line in received.parts(b"\n"):
        if line is None:
            yield None
        elif line.strip():
            yield _read(line, status)


def _status(head: bytes) -> int:
    protocol, _, rest = head.partition(b" ")
    code = rest[:3]
    if not protocol.startswith(b"HTTP/1.") or not code.isdigit():
        raise EngineUnavailableError("Docker closed the connection before it answered")
    return int(code)


def _read(line: bytes, status: int) -> Json:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise EngineUnavailableError("Docker answered something that is not JSON")
    if status >= 400:
        raise RefusedError(status, str(value.get("message", f"Docker answered {status}")))
    return value
