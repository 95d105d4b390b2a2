"""The daemon's socket, for root of this machine only: one line in, and out comes `ok` or `no` with one line."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from gpulease_host.accept import SOCKET_NAME

MOST_BYTES = 4 << 20
TIMEOUT_S = 10

Answer = Callable[[str], tuple[Literal["ok", "no"], str]]


class SocketServer:
    def __init__(self, folder: Path, answer: Answer) -> None:
        path = folder / SOCKET_NAME
        path.unlink(missing_ok=True)
        # A socket's path holds 107 bytes; through the folder's descriptor, any folder does.
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        before = os.umask(0o177)
        try:
            self._server = _Server(f"/proc/self/fd/{self._folder}/{SOCKET_NAME}", answer)
        finally:
            os.umask(before)
        self._thread = threading.Thread(target=self._server.serve_forever, name="socket", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        os.close(self._folder)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, answer: Answer) -> None:
        self.answer = answer
        super().__init__(address, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    timeout = TIMEOUT_S

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        try:
            request = self.rfile.readline(MOST_BYTES).decode("ascii", "replace").rstrip("\n")
            verdict, answer = self.server.answer(request)
            self.wfile.write(f"{verdict} {answer}\n".encode())
        except OSError:
            return
