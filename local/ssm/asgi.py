"""The service as ASGI middleware: its own calls it answers, every other request goes on unchanged."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from local.ssm.errors import SsmError
from local.ssm.service import Response, SsmService, refusal
from local.ssm.sigv4 import Caller

MAX_BODY_BYTES = 1_048_576

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Verify = Callable[[Mapping[str, str], bytes], Caller | None]

_RSA_SIGNED = "AmazonSSM.RequestManagedInstanceRoleToken"


class SsmMiddleware:
    """`verify` says who signed a request: None if it is unsigned, an SsmError if the signature is bad."""

    def __init__(self, app: App, service: SsmService, verify: Verify) -> None:
        self._app = app
        self._service = service
        self._verify = verify

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        target = _target(scope)
        if not target or not self._service.might_handle(target):
            await self._app(scope, receive, send)
            return
        body = await _read_body(receive)
        if not self._service.handles(target, body):
            await self._app(scope, _replay(body, receive), send)
            return
        response = await _unless_disconnected(self._answer(target, _headers(scope), body), receive)
        if response is not None:
            await _write(send, response)

    async def _answer(self, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        try:
            # A managed node's own RSA signature names no access key; the service checks it by the registered key.
            caller = None if target == _RSA_SIGNED else self._verify(headers, body)
        except SsmError as error:
            return refusal(error)
        return await self._service.handle(target, headers, body, caller)


def _target(scope: MutableMapping[str, Any]) -> str:
    if scope["type"] != "http" or scope.get("method") != "POST" or scope.get("path") != "/":
        return ""
    return _headers(scope).get("x-amz-target", "")


def _headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


async def _unless_disconnected(answer: Awaitable[Response], receive: Receive) -> Response | None:
    """Await an answer, but end a long poll whose caller has hung up: it must not take messages any more."""
    answering = asyncio.ensure_future(answer)
    hanging_up = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({answering, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        answering.cancel()
        hanging_up.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, response: Response) -> None:
    body = response.encoded()
    headers = [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
