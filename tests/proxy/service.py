"""The service as a proxy sees it: over HTTP, with the answers that a test has set."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "gl_proxy_" + "k" * 43


def fingerprint_of(public_key: str) -> str:
    """Of a line `ssh-ed25519 AAAA…`."""
    return hashlib.sha256(base64.b64decode(public_key.split()[1])).hexdigest()


class ServiceDouble:
    """`hosts` maps fingerprints to what the service answers; `is_away` makes it answer nothing of use."""

    def __init__(self) -> None:
        self.hosts: dict[str, dict[str, Any]] = {}
        self.ca = b""
        self.is_away = False
        self.asked: list[str] = []
        double = self

        class Answering(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                double.asked.append(self.path)
                if double.is_away:
                    self.send_error(502)
                elif self.path == "/v1/ca.crt" and double.ca:
                    self.answer(200, double.ca)
                elif self.headers.get("Authorization") != f"Bearer {KEY}":
                    self.answer(401, b'{"error": {"code": "unauthenticated", "message": ""}}')
                elif (found := double.hosts.get(self.path.rpartition("/")[2])) is not None:
                    self.answer(200, json.dumps(found).encode())
                else:
                    self.answer(404, b'{"error": {"code": "not_found", "message": ""}}')

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def permit(self, public_key: str, host_id: int, *bindings: tuple[int, str, int]) -> None:
        """`bindings` are (instance id, kind, port)."""
        named = [{"instance_id": each[0], "kind": each[1], "port": each[2]} for each in bindings]
        self.hosts[fingerprint_of(public_key)] = {"host_id": host_id, "bindings": named}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
