"""What a proxy is told: one JSON file, read strictly, because a misspelt setting would be one that nobody obeys."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ZONE = re.compile(r"(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
PRINTABLE_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
API_KEY = re.compile(r"[A-Za-z0-9_-]+")
MOST_PORT = 65535


class SettingsError(Exception):
    """The file is missing or says something that cannot be done."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Paths are absolute. Addresses are this machine's own."""

    api_url: str
    api_key_file: str
    """Holds an API key of role `proxy`."""
    state: str
    """The proxy's own folder: its host key, what it writes for sshd and nginx, and the service's CA."""
    zone: str
    """An instance's JupyterLab is `j-<instance id>.<zone>`."""
    user: str
    """Whom the program becomes when root starts it, and whom tunnels log in as."""
    public_address: str = "0.0.0.0"
    """Where clients connect: each instance's ssh port, and JupyterLab."""
    loopback_address: str = "127.0.0.1"
    """Where the tunnels of JupyterLab end, for nginx alone."""
    tunnel_address: str = "0.0.0.0"
    tunnel_port: int = 2222
    https_port: int = 443
    tls_certificate: str | None = None
    """For `*.<zone>`. Without it there is no JupyterLab by this proxy."""
    tls_key: str | None = None

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Raises SettingsError, naming the setting."""
        try:
            body = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} cannot be read: {error}") from error
        if not isinstance(body, dict):
            raise SettingsError(f"{path} holds no JSON object.")
        known = {field.name: field for field in fields(cls)}
        strange = sorted(body.keys() - known.keys())
        if strange:
            raise SettingsError(f"{strange[0]} is not a setting; there are {', '.join(known)}.")
        for name, field in known.items():
            if field.default is MISSING and name not in body:
                raise SettingsError(f"{name} is missing.")
            if name in body:
                _check(name, body[name], str(field.type))
        return cls(**body)

    @property
    def folder(self) -> Path:
        return Path(self.state)

    @property
    def host_key(self) -> Path:
        return self.folder / "host_key"

    @property
    def desk_socket(self) -> Path:
        return self.folder / "desk.sock"

    @property
    def ca(self) -> Path:
        """What the certificates of instances are signed with, as the service last gave it."""
        return self.folder / "ca.crt"

    @property
    def serves_jupyter(self) -> bool:
        return self.tls_certificate is not None and self.tls_key is not None


def _check(name: str, value: Any, kind: str) -> None:
    """Everything ends up in the configuration of another program, so nothing in it may be syntax there."""
    if "int" in kind:
        fits = type(value) is int and 1 <= value <= MOST_PORT
    elif value is None:
        fits = "None" in kind
    elif not isinstance(value, str):
        fits = False
    elif name.endswith("_address"):
        fits = _is_address(value)
    elif name == "zone":
        fits = ZONE.fullmatch(value) is not None
    elif name == "user":
        fits = re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value) is not None
    elif name == "api_url":
        fits = _is_url(value)
    else:
        fits = PRINTABLE_PATH.fullmatch(value) is not None
    if not fits:
        raise SettingsError(f"{name} cannot be {value!r}.")


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        return parts.scheme in ("http", "https") and host is not None and host.encode("idna") != b""
    except ValueError:
        return False
