"""Tunnels to the deployment's proxies: the key that a host logs in with, and where the proxies are."""

import base64
import hashlib
import re
from dataclasses import dataclass

from rental.domain.errors import InvalidRequestError
from rental.domain.ids import HostId

# 68 characters stand for 51 bytes, of which the first 19 are always the same: the kind again, and the length.
_LINE = re.compile(r"ssh-ed25519 (AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42})")


@dataclass(frozen=True)
class TunnelEnd:
    """A proxy as hosts see it: where it takes tunnels, and the key that it has to show.

    Numbers for ssh are asked for on its `public_address`, those for JupyterLab on its `loopback_address`.
    """

    address: str
    port: int
    user: str
    host_key: str
    public_address: str = "0.0.0.0"
    loopback_address: str = "127.0.0.1"


@dataclass(frozen=True)
class TunnelKeyPlace:
    """Whose tunnel key this is. A key is one host's for good, so nobody can claim what another logs in with."""

    fingerprint: str
    host_id: HostId


def fingerprint_of(public_key: str) -> str:
    """SHA-256 of the key that an OpenSSH line holds, hexadecimal. Raises InvalidRequestError."""
    match = _LINE.fullmatch(public_key)
    if match is None:
        raise InvalidRequestError("public_key is no line `ssh-ed25519 <key>` of OpenSSH, without a comment.")
    return hashlib.sha256(base64.b64decode(match.group(1))).hexdigest()
