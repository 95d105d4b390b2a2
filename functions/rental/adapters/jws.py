"""Compact JWS with Ed25519 (RFC 7515, RFC 8037), read with `cryptography` alone.

One algorithm and no options, so there is nothing to confuse. A library would do, but it comes with certificates and
every other algorithm: see `docs/decisions/0005-tokens-are-read-without-a-library.md`.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ALGORITHM = "EdDSA"
COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class BadTokenError(Exception):
    """It is not a token of this kind, or not signed by this key."""


@dataclass(frozen=True)
class Token:
    """A token taken apart; nothing in it is verified."""

    key_id: Any
    payload: bytes
    signed: bytes
    signature: bytes

    def verified(self, public_key: bytes) -> dict[str, Any]:
        """The claims, once it is sure that this key has signed them; raises BadTokenError."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, self.signed)
        except InvalidSignature as error:
            raise BadTokenError("the signature does not hold") from error
        return _load(self.payload)

    def unverified(self) -> dict[str, Any]:
        """The claims as anybody may have written them; raises BadTokenError."""
        return _load(self.payload)


def read_token(text: object) -> Token:
    """Raises BadTokenError."""
    parts = COMPACT.fullmatch(text) if isinstance(text, str) else None
    if parts is None:
        raise BadTokenError("a token has three parts in base64url")
    header = _load(_decode(parts[1]))
    if header.get("alg") != ALGORITHM:
        raise BadTokenError(f"the algorithm is not {ALGORITHM}")
    if "crit" in header:
        raise BadTokenError("the header demands what is not known here")
    signed = f"{parts[1]}.{parts[2]}".encode()
    return Token(header.get("kid"), _decode(parts[2]), signed, _decode(parts[3]))


def _load(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadTokenError("a part of the token is no JSON") from error
    if not isinstance(value, dict):
        raise BadTokenError("a part of the token is no JSON object")
    return value


def _decode(part: str) -> bytes:
    """Only as it is written in one way: other bits behind the last byte would be the same token in other words."""
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise BadTokenError("a part of the token is no base64url") from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part.rstrip("="):
        raise BadTokenError("a part of the token is no base64url")
    return decoded
