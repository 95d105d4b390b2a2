"""A server that says its name, then sends back each line; as many connections at once as there are."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading


class Echo:
    def __init__(self, name: str) -> None:
        class Answering(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.wfile.write(f"{name}\n".encode())
                    for line in self.rfile:
                        self.wfile.write(line)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Answering)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Visitor:
    """A client's session, which must survive what happens beside it."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_connection((address, port), timeout=10)
        self._file = self._socket.makefile("rwb")
        self.name = self._file.readline().decode().strip()

    def says_back(self, text: str) -> bool:
        try:
            self._file.write(text.encode() + b"\n")
            self._file.flush()
            return self._file.readline().decode().strip() == text
        except OSError:
            return False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
            self._socket.close()


def name_at(address: str, port: int) -> str | None:
    """Who answers there; None when nobody does."""
    try:
        visitor = Visitor(address, port)
    except OSError:
        return None
    visitor.close()
    return visitor.name or None
