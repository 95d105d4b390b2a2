"""The first line of a server's answer over TLS, from a far end that is trusted neither with time nor with memory.

TLS is done in memory: so each wait is for the socket alone, and no step sees more bytes than were counted.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
CHUNK_BYTES = 4096
RECEIVED_BYTES = 64 * 1024
"""Certificates, tickets and the line: many times what an honest server sends."""
LINE_BYTES = 1024


class TooMuchError(OSError):
    """The far end sends more than an answer needs."""


def status_line(address: tuple[str, int], request: bytes, context: ssl.SSLContext, deadline: float) -> bytes:
    """What comes first, up to the end of its line. `deadline` is monotonic seconds, for all of it. Raises OSError."""
    with socket.create_connection(address, _left(deadline)) as stream:
        far_end = _FarEnd(stream, context, deadline)
        far_end.step(far_end.tls.do_handshake)
        far_end.step(lambda: far_end.tls.write(request))
        line = b""
        while b"\n" not in line:
            if len(line) >= LINE_BYTES:
                raise TooMuchError("the line has no end")
            chunk = far_end.step(lambda: far_end.tls.read(CHUNK_BYTES))
            if not chunk:
                break
            line += chunk
        return line.partition(b"\n")[0].rstrip(b"\r")


class _FarEnd:
    def __init__(self, stream: socket.socket, context: ssl.SSLContext, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._room_bytes = RECEIVED_BYTES
        self.tls = context.wrap_bio(self._in, self._out)

    def step(self, attempt: Callable[[], Result]) -> Result:
        """Try until it needs no more from the far end."""
        while True:
            try:
                result = attempt()
            except ssl.SSLWantReadError:
                self._send()
                self._receive()
            else:
                self._send()
                return result

    def _send(self) -> None:
        if self._out.pending:
            self._stream.settimeout(_left(self._deadline))
            self._stream.sendall(self._out.read())

    def _receive(self) -> None:
        if self._room_bytes <= 0:
            raise TooMuchError("it never comes to its answer")
        self._stream.settimeout(_left(self._deadline))
        chunk = self._stream.recv(min(CHUNK_BYTES, self._room_bytes))
        self._room_bytes -= len(chunk)
        if chunk:
            self._in.write(chunk)
        else:
            self._in.write_eof()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
