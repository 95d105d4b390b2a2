"""The machine key: what makes this machine this host.

One Ed25519 key signs requests and events, one X25519 key opens what the control plane sealed to this machine. Both
are made here, at registration, and never leave the file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gpulease_host.files import write_durably

SEAL_INFO = b"gpulease/secrets/v1/"
REPLY_INFO = b"gpulease/reply/v1/"
REQUEST_LIFE_S = 60


class MachineKeyError(Exception):
    """The machine key is missing or unreadable, or something is not sealed to it."""


@dataclass(frozen=True)
class MachineKey:
    _signing: Ed25519PrivateKey = field(repr=False)
    _sealing: X25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> MachineKey:
        return cls(Ed25519PrivateKey.generate(), X25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> MachineKey:
        """Raises MachineKeyError, also when others could read the file."""
        try:
            if path.stat().st_mode & 0o077:
                raise MachineKeyError(f"{path} can be read by others. Set its mode to 0600.")
            body = json.loads(path.read_bytes())
            return cls(
                Ed25519PrivateKey.from_private_bytes(from_b64(body["signing"])),
                X25519PrivateKey.from_private_bytes(from_b64(body["sealing"])),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MachineKeyError(f"{path} cannot be read as a machine key: {type(error).__name__}") from None

    def save(self, path: Path) -> None:
        body = {
            "v": 1,
            "signing": to_b64(self._signing.private_bytes_raw()),
            "sealing": to_b64(self._sealing.private_bytes_raw()),
        }
        write_durably(path, json.dumps(body).encode(), mode=0o600)

    @property
    def signing_public(self) -> bytes:
        return self._signing.public_key().public_bytes_raw()

    @property
    def sealing_public(self) -> bytes:
        return self._sealing.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self.signing_public + self.sealing_public).hexdigest()[:16]

    def sign_request(self, host_id: int, method: str, path: str, body: bytes, now: int) -> str:
        """A short-lived JWT bound to one request: who, when, which method and path, which body."""
        claims = {
            "iss": str(host_id),
            "iat": now,
            "exp": now + REQUEST_LIFE_S,
            "jti": to_b64(os.urandom(16)),
            "htm": method,
            "htu": path,
            "bh": to_b64(hashlib.sha256(body).digest()),
        }
        return self.sign(claims)

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact JWS of the claims."""
        return jwt.encode(claims, self._signing, algorithm="EdDSA", headers={"kid": self.key_id})

    def unseal(self, sealed: str, contract_id: int) -> bytes:
        """Open what was sealed to this machine for this contract. Raises MachineKeyError."""
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
        try:
            return suite.decrypt(from_b64(sealed), self._sealing, info=SEAL_INFO + str(contract_id).encode())
        except (InvalidTag, ValueError):
            raise MachineKeyError("the secrets are not sealed to this machine and contract") from None


def seal_reply(reply_key: str, call_id: str, plaintext: bytes) -> str:
    """Seal to a key that somebody made for this one reply. Raises MachineKeyError for one that is none."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    try:
        public = X25519PublicKey.from_public_bytes(from_b64(reply_key))
        return to_b64(suite.encrypt(plaintext, public, info=REPLY_INFO + call_id.encode()))
    except ValueError:
        raise MachineKeyError("the key to reply to is none") from None


def to_b64(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def from_b64(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
