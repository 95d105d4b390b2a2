"""The few ASGI pieces the local cloud shares: a whole request, a whole response, and their types."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BodyTooLargeError(Exception):
    """The request body is larger than the reader allows."""


class ClientGoneError(Exception):
    """The client closed the connection before its body was complete."""


@dataclass(frozen=True)
class Request:
    """One HTTP request, read to its end."""

    method: str
    path: str
    raw_path: str
    query_string: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str:
        """One header's first value, or an empty string."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), "")

    def joined_headers(self) -> dict[str, str]:
        """Headers by lower-case name; a repeated one is joined, as RFC 9110 and 9113 say."""
        joined: dict[str, str] = {}
        for raw_name, raw_value in self.headers:
            name, value = raw_name.decode("latin-1").lower(), _decode(raw_value)
            separator = "; " if name == "cookie" else ", "
            joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
        return joined

    def query(self) -> dict[str, list[str]]:
        """The query string's parameters, blank ones included."""
        return parse_qs(self.query_string, keep_blank_values=True)

    def json(self) -> Any:
        """The body as JSON; an empty one is an empty object."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Response:
    """One HTTP response, complete."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @classmethod
    def of_json(cls, status: int, payload: Any, content_type: str = "application/json") -> Response:
        """A response whose body is JSON."""
        return cls(status, [(b"content-type", content_type.encode())], json.dumps(payload).encode())

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Answer with it; a HEAD request gets the headers only."""
        headers = [(name.lower(), value) for name, value in self.headers]
        if not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body, "more_body": False})


class Recorder:
    """A `send` that keeps the messages until they may go out."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        """The status the application answered with, 0 when it gave none."""
        return next((m["status"] for m in self.messages if m["type"] == "http.response.start"), 0)

    async def release(self, send: Send) -> None:
        """Pass everything on, in order."""
        for message in self.messages:
            await send(message)


async def read_request(scope: Scope, receive: Receive, *, limit_bytes: int | None = None) -> Request:
    """Read a request to its end."""
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
    return Request(
        method=scope["method"],
        path=scope["path"],
        raw_path=raw_path.decode("latin-1"),
        query_string=scope.get("query_string", b"").decode("utf-8", "replace"),
        headers=list(scope.get("headers", [])),
        body=await _read_body(receive, limit_bytes),
    )


def replayed(request: Request) -> Receive:
    """A `receive` that gives the body of a request that was already read."""
    pending = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "http.disconnect"}

    return receive


async def _read_body(receive: Receive, limit_bytes: int | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if limit_bytes is not None and size > limit_bytes:
            raise BodyTooLargeError
        if not message.get("more_body", False):
            return b"".join(chunks)


def _decode(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
