"""What the service says of the deployment's proxies, read strictly: this host connects there and believes the key."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpulease_host.wire import WIRE_VERSION, WireError

MOST_PROXIES = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")


@dataclass(frozen=True)
class Proxy:
    """Where it takes tunnels and by which key it is known; at which of its addresses ports are asked for."""

    address: str
    port: int
    user: str
    host_key: str
    public_address: str
    loopback_address: str


def parse_proxies(value: Any) -> tuple[Proxy, ...]:
    """Read the answer of `/v1/host/tunnel`. Raises WireError."""
    if not isinstance(value, dict) or value.get("v") != WIRE_VERSION:
        raise WireError("the answer to tunnel is of no known version")
    proxies = value.get("proxies")
    if not isinstance(proxies, list) or len(proxies) > MOST_PROXIES:
        raise WireError("proxies is no list, or too long")
    return tuple(_parse(each) for each in proxies)


def _parse(value: Any) -> Proxy:
    if not isinstance(value, dict):
        raise WireError("proxies[] is not an object")
    port = value.get("port")
    if type(port) is not int or not 1 <= port <= 65535:
        raise WireError("port of proxies[] is none")
    return Proxy(
        _matching(value, "address", _NAME),
        port,
        _matching(value, "user", _USER),
        _matching(value, "host_key", _KEY),
        _ipv4(value, "public_address"),
        _ipv4(value, "loopback_address"),
    )


def _matching(value: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise WireError(f"{name} of proxies[] is none")
    return text


def _ipv4(value: Mapping[str, Any], name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value.get(name)))
    except (ValueError, TypeError):
        raise WireError(f"{name} of proxies[] is no IPv4 address") from None
