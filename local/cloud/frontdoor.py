"""One plain URL for the service's HTTP API, as a custom domain gives it in production.

The request reaches the API exactly as the client sent it; nothing of the emulator's own paths
(`/_ministack/…`, S3, health) can be reached through this port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from local.cloud.asgi import BodyTooLargeError, ClientGoneError, Receive, Request, Response, Scope, Send, read_request

# API Gateway's own limit on a request body.
BODY_LIMIT_BYTES = 10 * 1024 * 1024

# Every request in flight is a function process or two of its own; beyond this, starting them takes longer
# than waiting for one that runs.
CONCURRENT_CALLS = 8

PAGE = """<!doctype html><meta charset="utf-8"><title>GPULease</title>
<h1>GPULease</h1><p>The local service is up. Its API is under /v1, <a href="/docs">described here</a>; <a
href="/v1/health">is it well?</a></p>
"""

CallApi = Callable[[Request], Awaitable[Response]]


class FrontDoor:
    """The application on the front port."""

    def __init__(self) -> None:
        self._call_api: CallApi | None = None
        self._slots = asyncio.Semaphore(CONCURRENT_CALLS)

    def open(self, call_api: CallApi) -> None:
        """Start to pass requests on: the service is deployed and has its state."""
        self._call_api = call_api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            request = await read_request(scope, receive, limit_bytes=BODY_LIMIT_BYTES)
        except ClientGoneError:
            return
        except BodyTooLargeError:
            await Response.of_json(413, {"message": "Request Entity Too Large"}).send(send)
            return
        response = await self._answer(request)
        response.headers.append((b"date", formatdate(usegmt=True).encode()))  # as every server that has a clock
        await response.send(send, head=request.method == "HEAD")

    async def _answer(self, request: Request) -> Response:
        if request.path == "/" and request.method in {"GET", "HEAD"}:
            return Response(200, [(b"content-type", b"text/html; charset=utf-8")], PAGE.encode())
        if self._call_api is None:
            problem = {"code": "starting", "message": "The service is starting.", "request_id": ""}
            refusal = Response.of_json(503, {"error": problem})
            return Response(503, [*refusal.headers, (b"retry-after", b"1")], refusal.body)
        async with self._slots:
            return await self._call_api(request)
