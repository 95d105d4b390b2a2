"""API Gateway in front of the real handlers, as an HTTP server on this machine.

It routes by the deployed routes, asks the authorizer, and hands requests on as payload format 2.0 has them. What it
answers itself, it answers as API Gateway does.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from infra.routes import FALLBACK, ROUTES, Route

TEXT = ("application/json", "application/xml", "application/javascript", "text/")
FAULT = (500, {"content-type": "application/json"}, b'{"message":"Internal Server Error"}')
PATTERNS = [(route, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))) for route in ROUTES]

Response = tuple[int, dict[str, str], bytes]
Respond = Callable[[str, str, dict[str, str], bytes], Response]


@contextmanager
def serve(respond: Respond | None = None) -> Iterator[str]:
    """Serve the handlers of this process, one request at a time; yields the URL. `respond` answers instead of them."""
    door = type("Door", (_Door,), {"respond": staticmethod(respond or answer_of), "turn": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits 40 ms for an acknowledgement
    respond: Respond
    turn: threading.Lock

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.turn:
            status, headers, content = self.respond(self.command, self.path, self._joined_headers(), body)
        self.send_response_only(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_QUERY = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _joined_headers(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            joined[key] = f"{joined[key]},{value}" if key in joined else value
        return joined


def answer_of(method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
    """What API Gateway answers: what the function of the route does, in the function's own words."""
    parts = urlsplit(target)
    route, parameters = _find(method, parts.path)
    event = _event(method, parts.path, parts.query, headers, body)
    event["routeKey"] = route.path if route is FALLBACK else f"{route.method} {route.path}"
    event["pathParameters"] = {name: unquote(value) for name, value in parameters.items()}
    if route.authorized:
        granted = _invoke("authorizer", event)
        if granted is None:
            return FAULT
        event["requestContext"]["authorizer"] = {"lambda": granted["context"]}
    result = _invoke(route.function, event)
    if result is None:
        return FAULT
    listed = {name: ", ".join(values) for name, values in result.get("multiValueHeaders", {}).items()}
    content = result["body"].encode()
    content = base64.b64decode(content) if result.get("isBase64Encoded") else content
    return result["statusCode"], {**listed, **result.get("headers", {})}, content


def _find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for route, pattern in PATTERNS:
        found = pattern.fullmatch(path)
        if route.method == method and found is not None:
            return route, found.groupdict()
    return FALLBACK, {}


def _event(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    is_text = headers.get("content-type", "text/plain").startswith(TEXT)
    http = {"method": method, "path": unquote(path), "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""}
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {"http": http, "requestId": "request-1", "stage": "$default"},
        "isBase64Encoded": not is_text,
    }
    joined: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    if joined:
        event["queryStringParameters"] = joined
    if body:
        event["body"] = body.decode(errors="replace") if is_text else base64.b64encode(body).decode()
    return event


def _invoke(function: str, event: dict[str, Any]) -> dict[str, Any] | None:
    """What the function answers, sent as JSON both ways; None when it ended with an error of its own."""
    handler = importlib.import_module(f"handlers.{function}").handler
    try:
        answered: dict[str, Any] = json.loads(json.dumps(handler(json.loads(json.dumps(event)), object())))
    except Exception:  # noqa: BLE001
        return None
    return answered
