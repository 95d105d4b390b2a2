"""An API on loopback that checks each request as the control plane does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gpulease_host.engine import Order
from gpulease_host.machine_key import MachineKey, from_b64, to_b64
from gpulease_host.wire import order_to_wire
from tests.host.fakes import PublicKey
from tests.host.orders import HOST_ID

Reply = tuple[int, Any]


class HttpApi:
    """Answers from `orders`, as the whole wanted state; `replies` by path come first, once each."""

    def __init__(self, key: MachineKey) -> None:
        self.key = key
        self.orders: dict[int, Order] = {}
        self.replies: dict[str, list[Reply]] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self.registers_as = HOST_ID

    def answer(self, path: str, authorization: str, body: bytes) -> Reply:
        if path != "/v1/host/register" and not self._is_signed(path, authorization, body):
            return 401, error("unauthorized")
        asked = json.loads(body)
        self.seen.append((path, asked))
        if self.replies.get(path):
            return self.replies[path].pop(0)
        if path == "/v1/host/manifest":
            return 200, {"v": 1, "host_id": HOST_ID, "orders": [order_to_wire(each) for each in self.orders.values()]}
        if path == "/v1/host/register":
            return 200, self._register(asked)
        return self._fetch(asked)

    def _register(self, asked: dict[str, Any]) -> dict[str, Any]:
        key_id = PublicKey(from_b64(asked["signing_key"]), from_b64(asked["sealing_key"])).key_id
        named = {"v": 1, "host_id": self.registers_as, "key_id": key_id}
        return named | {"event_bus_name": "bus", "region": "us-east-1"}

    def _fetch(self, asked: dict[str, Any]) -> Reply:
        order = self.orders.get(asked["instance_id"])
        current = order is not None and (order.generation, order.token) == (asked["generation"], asked["token"])
        if not current:
            return 409, error("not_current")
        return 200, {"v": 1, "key_id": self.key.key_id, "sealed": None}

    def _is_signed(self, path: str, authorization: str, body: bytes) -> bool:
        scheme, _, token = authorization.partition(" ")
        public = Ed25519PublicKey.from_public_bytes(self.key.signing_public)
        try:
            claims = jwt.decode(token, public, algorithms=["EdDSA"], options={"require": ["exp", "iat", "jti"]})
        except jwt.InvalidTokenError:
            return False
        digest = to_b64(hashlib.sha256(body).digest())
        bound = (claims["iss"], claims["htm"], claims["htu"], claims["bh"])
        return scheme == "Machine" and bound == (str(HOST_ID), "POST", path, digest)


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"It is {code}.", "request_id": "r"}}


@contextmanager
def serving(api: HttpApi) -> Iterator[HttpApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = api.answer(self.path, self.headers.get("Authorization", ""), body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
