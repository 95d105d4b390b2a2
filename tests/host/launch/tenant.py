"""A tenant that holds the notebook's port and its certificate, and answers what it likes for as long as it likes."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

PAUSE_S = 0.02


@contextmanager
def answering(
    address: tuple[str, int], chunks: Iterable[bytes], context: ssl.SSLContext | None = None
) -> Iterator[None]:
    """One connection gets these once it has spoken, a moment apart, instead of TLS or within it; then it ends."""
    over = threading.Event()
    listener = socket.create_server(address)
    thread = threading.Thread(target=_answer, args=(listener, chunks, context, over.wait))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


def dripped(text: bytes) -> Iterator[bytes]:
    """Byte after byte, and the last one for ever."""
    yield from (text[at : at + 1] for at in range(len(text)))
    yield from itertools.repeat(text[-1:])


def _answer(
    listener: socket.socket, chunks: Iterable[bytes], context: ssl.SSLContext | None, wait: Callable[[float], bool]
) -> None:
    listener.settimeout(5)
    with suppress(OSError):
        stream, _ = listener.accept()
        with context.wrap_socket(stream, server_side=True) if context else stream as connection:
            connection.recv(4096)
            for chunk in chunks:
                connection.sendall(chunk)
                if wait(PAUSE_S):
                    return
