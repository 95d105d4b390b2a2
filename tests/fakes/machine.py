"""A GPU machine: its keys, and what it signs with them."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from rental.adapters.machine_tokens import make_machine_key
from rental.domain.contract import Sealed
from rental.domain.host import MachineKey

TUNNEL_END = {"address": "proxy.example", "port": 2222, "user": "tunnel", "host_key": "ssh-ed25519 " + "A" * 68}
"""As a deployment's settings name a proxy."""


def tunnel_key_of(number: int) -> str:
    """The public half of a tunnel key; another for each number."""
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + number.to_bytes(32, "big")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Machine:
    """`host_id` is what it was told at registration."""

    host_id: int
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    sealing: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @property
    def signing_public(self) -> bytes:
        return self.signing.public_key().public_bytes_raw()

    @property
    def key(self) -> MachineKey:
        return make_machine_key(base64url(self.signing_public), base64url(self.sealing.public_key().public_bytes_raw()))

    def sign_request(self, path: str, body: bytes, now: int, **claims: Any) -> str:
        told = {
            "iss": str(self.host_id),
            "iat": now,
            "exp": now + 60,
            "jti": "1",
            "htm": "POST",
            "htu": path,
            "bh": base64url(hashlib.sha256(body).digest()),
        }
        return self.sign(told | claims)

    def sign_report(self, state: Any, seq: Any, now: int, **claims: Any) -> dict[str, Any]:
        """The detail of an event."""
        told = {"v": 1, "host_id": self.host_id, "boot_id": "boot-1", "seq": seq, "sent_at": now, "state": state}
        return {"v": 1, "host_id": self.host_id, "jws": self.sign(told | claims)}

    def sign(self, claims: dict[str, Any], kid: str | None = None) -> str:
        return jwt.encode(claims, self.signing, algorithm="EdDSA", headers={"kid": kid or self.key.key_id})

    def sign_raw(self, payload: bytes) -> str:
        """A signed token whose payload need not be what a JSON library would write."""
        header = base64url(json.dumps({"alg": "EdDSA", "kid": self.key.key_id}).encode())
        signed = f"{header}.{base64url(payload)}"
        return f"{signed}.{base64url(self.signing.sign(signed.encode()))}"

    def open(self, sealed: Sealed, contract_id: int) -> bytes:
        """The plaintext of what was sealed to this machine."""
        padded = sealed.ciphertext + "=" * (-len(sealed.ciphertext) % 4)
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
        info = b"gpulease/secrets/v1/" + str(contract_id).encode()
        return suite.decrypt(base64.urlsafe_b64decode(padded), self.sealing, info=info)
