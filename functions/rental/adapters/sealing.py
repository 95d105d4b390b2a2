"""Seal a client's secrets to a host: HPKE (RFC 9180), so that only the machine key opens them."""

import base64

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from rental.domain.contract import Sealed
from rental.domain.host import MachineKey
from rental.domain.ids import ContractId

INFO = b"gpulease/secrets/v1/"


class HpkeSealer:
    """The port `Sealer`: X25519, HKDF-SHA256, ChaCha20-Poly1305, bound to the contract's id."""

    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed:
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
        public = X25519PublicKey.from_public_bytes(decode_key(key.sealing_key))
        ciphertext = suite.encrypt(plaintext, public, info=INFO + str(contract_id).encode())
        return Sealed(key.key_id, base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode())


def decode_key(text: str) -> bytes:
    """A base64url key without padding; raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
