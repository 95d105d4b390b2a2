"""Calls to the endpoint: AWS JSON 1.1 over one kept-alive connection per thread.

WireError
├── RefusedError       the service answered with an error: a code and a sentence
└── UnreachableError   no answer; the call may or may not have had its effect
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from local.ssm.sigv4 import ALGORITHM, Authorization, hmac_signature, string_to_sign

CALL_TIMEOUT_S = 60.0

JsonObject = dict[str, Any]
Sign = Callable[[Authorization, str], str]


class WireError(Exception):
    """A call that brought no answer to work with."""


class RefusedError(WireError):
    """The service refused the call."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class UnreachableError(WireError):
    """The service did not answer."""


class Signer:
    """How to sign a call: the key's name, the session token that goes with it, and the signing itself."""

    def __init__(self, key_id: str, sign: Sign, session_token: str = "") -> None:
        self.key_id = key_id
        self.sign = sign
        self.session_token = session_token


def secret_signer(key_id: str, secret: str, session_token: str) -> Signer:
    """Sign with a session's secret key."""
    return Signer(key_id, lambda authorization, text: hmac_signature(secret, authorization, text), session_token)


class Wire:
    """The endpoint."""

    def __init__(self, endpoint: str, region: str, clock: Callable[[], float] = time.time) -> None:
        parts = urlsplit(endpoint)
        self._secure = parts.scheme == "https"
        self._address = parts.netloc
        self._region = region
        self._clock = clock
        self._local = threading.local()

    def call(self, service: str, target: str, fields: JsonObject | None, signer: Signer | None) -> JsonObject:
        """Make a call; no fields mean an empty body, no signer an unsigned call."""
        body = b"" if fields is None else json.dumps(fields).encode()
        headers = {
            "host": self._address,
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": target,
            "content-length": str(len(body)),
        }
        if signer is not None:
            headers |= self._signature(service, headers, body, signer)
        status, answer = self._exchange(headers, body)
        return _parse(status, answer)

    def _signature(self, service: str, headers: Mapping[str, str], body: bytes, signer: Signer) -> dict[str, str]:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        added = {"x-amz-date": stamp}
        if signer.session_token:
            added["x-amz-security-token"] = signer.session_token
        signed = {**headers, **added}
        del signed["content-length"]
        names = tuple(sorted(signed))
        unsigned = Authorization(signer.key_id, stamp[:8], self._region, service, names, "")
        signature = signer.sign(unsigned, string_to_sign(unsigned, signed, body))
        credential = f"Credential={signer.key_id}/{unsigned.scope}"
        added["authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        return added

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send on the kept connection; if the service had closed it meanwhile, once more on a fresh one.

        Every call of the agent may be repeated: the service knows a message, a reply and a key again.
        """
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return _send(kept, headers, body)
            except (OSError, http.client.HTTPException):
                self._drop()
        try:
            return _send(self._connect(), headers, body)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise UnreachableError(f"{self._address}: {error}") from error

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        self._local.connection = kind(self._address, timeout=CALL_TIMEOUT_S)
        return self._local.connection  # type: ignore[no-any-return]

    def _drop(self) -> None:
        self._local.connection.close()
        self._local.connection = None


def _send(connection: http.client.HTTPConnection, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/", body, dict(headers))
    response = connection.getresponse()
    return response.status, response.read()


def _parse(status: int, answer: bytes) -> JsonObject:
    try:
        fields = json.loads(answer) if answer else {}
    except ValueError as error:
        raise UnreachableError(f"HTTP {status} without JSON") from error
    if status >= 500:
        raise UnreachableError(f"HTTP {status}")
    if status != 200:
        code = str(fields.get("__type", status)).rsplit("#", 1)[-1]
        raise RefusedError(code, str(fields.get("message") or fields.get("Message") or ""))
    return dict(fields)
