"""The AWS endpoint: MiniStack, with the journal before its tables and two of its doors shut."""

from __future__ import annotations

import re

from local.cloud.asgi import App, ClientGoneError, Receive, Response, Scope, Send, read_request
from local.cloud.journaling import TARGET_PREFIX, JournalingDynamoDb

# These are the whole account without a secret: the emulator checks no signature of theirs.
OPEN_KEYS = re.compile(r"(test|\d{12})/")

# The emulator's own controls, but for what CloudFormation itself calls: one of them empties the account.
CONTROLS = "/_ministack/"
PUBLIC_CONTROLS = tuple(CONTROLS + name for name in ("health", "ready", "cfn-response/", "cfn-signal/"))


class AwsGate:
    """The application on the AWS port."""

    def __init__(self, app: App, dynamodb: JournalingDynamoDb) -> None:
        self._app = app
        self._dynamodb = dynamodb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal is not None:
            await refusal.send(send)
            return
        if not _header(scope, b"x-amz-target").startswith(TARGET_PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            request = await read_request(scope, receive)
        except ClientGoneError:
            return
        await self._dynamodb(scope, request, send)


def _refusal(scope: Scope) -> Response | None:
    path: str = scope["path"]
    if path.startswith(CONTROLS) and not path.startswith(PUBLIC_CONTROLS):
        return Response.of_json(404, {"message": "Not Found"})
    credential = _header(scope, b"authorization").partition("Credential=")[2]
    if OPEN_KEYS.match(credential):
        sentence = "The security token included in the request is invalid."
        return Response.of_json(403, {"__type": "UnrecognizedClientException", "message": sentence})
    return None


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")
