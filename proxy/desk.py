"""What sshd and nginx ask, on a Unix socket that only this account can open.

GET /keys/<fingerprint>?pid=<sshd's>   the options of an authorized key; 404: it opens nothing
GET /route   X-Instance: <id>          204 with X-Jupyter-Port; 403: there is no such instance here
"""

from __future__ import annotations

import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from proxy.hosts import Hosts
from proxy.service import FINGERPRINT
from proxy.settings import Settings
from proxy.sshd_config import key_options

MOST_DIGITS = 16


class Desk:
    def __init__(self, settings: Settings, hosts: Hosts) -> None:
        self._path = settings.desk_socket
        self._server = _Server(self._path, settings, hosts)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="desk", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, settings: Settings, hosts: Hosts) -> None:
        path.unlink(missing_ok=True)
        self.settings = settings
        self.hosts = hosts
        super().__init__(str(path), _Answering)
        path.chmod(0o600)

    def handle_error(self, *_: object) -> None:
        """Who asked may be gone. Any other fault is ours, and goes on to end the process."""
        if not isinstance(sys.exception(), OSError):
            raise


class _Answering(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: Any) -> None:
        """What matters is logged where it is decided."""

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        if target.path == "/route":
            self._answer_route(self.headers.get("X-Instance", ""))
        elif target.path.startswith("/keys/"):
            self._answer_key(target.path.removeprefix("/keys/"), parse_qs(target.query).get("pid", [""])[0])
        else:
            self._send(404)

    def _answer_key(self, fingerprint: str, pid: str) -> None:
        known = None
        if FINGERPRINT.fullmatch(fingerprint) and pid.isdecimal():
            known = self.server.hosts.log_in(fingerprint, int(pid))
        if known is None:
            self._send(404)
        else:
            self._send(200, key_options(self.server.settings, known).encode())

    def _answer_route(self, instance: str) -> None:
        fits = instance.isascii() and instance.isdecimal() and len(instance) <= MOST_DIGITS
        port = self.server.hosts.jupyter_port(int(instance)) if fits else None
        self._send(403 if port is None else 204, port=port)

    def _send(self, status: int, body: bytes = b"", port: int | None = None) -> None:
        self.send_response(status)
        if port is not None:
            self.send_header("X-Jupyter-Port", str(port))
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:  # nginx may be gone by then where there is none
            self.wfile.write(body)
