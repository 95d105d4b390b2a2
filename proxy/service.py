"""What the proxy asks the service, and its answers read strictly: they decide who may listen where."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

TIMEOUT_S = 8
MOST_BYTES = 1_000_000
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
Kind = Literal["ssh", "jupyter"]


class ServiceError(Exception):
    """The service did not answer, or not in a way that can be used."""


@dataclass(frozen=True)
class Binding:
    """A port of this proxy that belongs to an instance."""

    instance_id: int
    kind: Kind
    port: int


@dataclass(frozen=True)
class HostPorts:
    """What the host with a certain tunnel key may listen on."""

    host_id: int
    bindings: tuple[Binding, ...]

    @property
    def ports(self) -> frozenset[int]:
        return frozenset(each.port for each in self.bindings)


class Service(Protocol):
    def ports_of(self, fingerprint: str) -> HostPorts | None:
        """None where no host has this key. Raises ServiceError."""
        ...

    def ca(self) -> bytes:
        """The certificate that instances' certificates are signed with, PEM. Raises ServiceError."""
        ...


@dataclass(frozen=True)
class HttpService:
    url: str
    key: str = field(repr=False)

    def ports_of(self, fingerprint: str) -> HostPorts | None:
        if not FINGERPRINT.fullmatch(fingerprint):
            return None
        try:
            answer = self._get(f"/v1/proxy/hosts/{fingerprint}")
        except urllib.error.HTTPError as error:
            if error.code == 404 and _code(error) == "not_found":
                return None
            raise ServiceError(f"the service answers {error.code}") from error
        try:
            return parse_ports(json.loads(answer))
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"the service's answer cannot be read: {error}") from error

    def ca(self) -> bytes:
        try:
            answer = self._get("/v1/ca.crt")
        except urllib.error.HTTPError as error:
            raise ServiceError(f"the service answers {error.code}") from error
        if b"-----BEGIN CERTIFICATE-----" not in answer:
            raise ServiceError("the service's CA is no certificate")
        return answer

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(self.url.rstrip("/") + path, headers={"Authorization": f"Bearer {self.key}"})
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as response:
                read: bytes = response.read(MOST_BYTES + 1)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(f"the service does not answer ({type(error).__name__})") from error
        if len(read) > MOST_BYTES:
            raise ServiceError("the service's answer is too long")
        return read


def parse_ports(body: Mapping[str, Any]) -> HostPorts:
    """Raises ValueError, KeyError or TypeError."""
    bindings = tuple(_binding(each) for each in body["bindings"])
    if len({each.port for each in bindings}) != len(bindings):
        raise ValueError("a port is named twice")
    return HostPorts(_number(body["host_id"], 1, 2**53 - 1), bindings)


def _binding(body: Mapping[str, Any]) -> Binding:
    kind = body["kind"]
    if kind not in ("ssh", "jupyter"):
        raise ValueError(f"a binding of kind {kind!r}")
    return Binding(_number(body["instance_id"], 1, 2**53 - 1), kind, _number(body["port"], 1024, 65535))


def _number(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"not a number from {least} to {most}")
    return value


def _code(error: urllib.error.HTTPError) -> str | None:
    """The service's own word: a 404 of anything between must not cut hosts off."""
    try:
        body = json.loads(error.read(MOST_BYTES))
        return str(body["error"]["code"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to the service and to nobody that it may point at."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
