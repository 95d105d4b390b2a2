"""A Docker that refuses, or lets hang, some calls for one container; all else goes to the real one behind it."""

from __future__ import annotations

import http.client
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal

Fault = Literal["refuse", "hang"]
HANG_S = 300.0
REFUSAL = b'{"message": "cannot signal the container: permission denied"}'


class FaultyDocker(socketserver.ThreadingUnixStreamServer):
    """`faults` by call: stop, kill, json, start, logs, exec, or remove."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path, behind: str) -> None:
        super().__init__(str(path), _Handler)
        self.behind = behind
        self.container = ""
        self.faults: dict[str, Fault] = {}
        self.released = threading.Event()

    def fault(self, method: str, path: str) -> Fault | None:
        bare = path.partition("?")[0]
        if not self.container or self.container not in bare:
            return None
        return self.faults.get("remove" if method == "DELETE" else bare.rpartition("/")[2])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyDocker

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.command, self.path)
        if fault == "hang":
            self.server.released.wait(HANG_S)
            self.close_connection = True
        elif fault == "refuse":
            self._answer(500, "application/json", REFUSAL)
        else:
            self._pass_on(body)

    do_GET = do_POST = do_DELETE = do_PUT = handle_call

    def _pass_on(self, body: bytes) -> None:
        behind = http.client.HTTPConnection("docker")
        behind.sock = socket.socket(socket.AF_UNIX)
        behind.sock.connect(self.server.behind)
        kind = {"Content-Type": self.headers["Content-Type"]} if self.headers["Content-Type"] else {}
        behind.request(self.command, self.path, body, kind)
        answer = behind.getresponse()
        self._answer(answer.status, answer.headers["Content-Type"], answer.read())
        behind.close()

    def _answer(self, status: int, kind: str | None, body: bytes) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "socket"


@contextmanager
def before(docker_host: str, path: Path) -> Iterator[FaultyDocker]:
    with FaultyDocker(path, docker_host.removeprefix("unix://")) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield made
        finally:
            made.released.set()
            made.shutdown()
