"""A line to a server on loopback that carries only so much a second, so that there is time to watch a pull."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK_BYTES = 1 << 15


@contextmanager
def slow_line(address: str, bytes_s: int) -> Iterator[str]:
    """The address under which `address` is slow."""
    host, _, port = address.partition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((host, int(port)))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink, bytes_s), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _carry(source: socket.socket, sink: socket.socket, bytes_s: int) -> None:
    with suppress(OSError), source, sink:
        while content := source.recv(CHUNK_BYTES):
            sink.sendall(content)
            time.sleep(len(content) / bytes_s)
