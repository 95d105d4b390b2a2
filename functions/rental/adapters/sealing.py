"""Seal a client's secrets to a host, and open a host's reply to a client: HPKE (RFC 9180), X25519."""

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from rental.domain.calls import CallId
from rental.domain.contract import Sealed
from rental.domain.errors import CallFailedError
from rental.domain.host import MachineKey
from rental.domain.ids import ContractId

INFO = b"gpulease/secrets/v1/"
REPLY_INFO = b"gpulease/reply/v1/"


class HpkeSealer:
    """The port `Sealer`: X25519, HKDF-SHA256, ChaCha20-Poly1305, bound to the contract's id."""

    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed:
        suite = _suite()
        public = X25519PublicKey.from_public_bytes(decode_key(key.sealing_key))
        ciphertext = suite.encrypt(plaintext, public, info=INFO + str(contract_id).encode())
        return Sealed(key.key_id, base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode())


class HpkeEnvelope:
    """The port `Envelope`: a key pair whose private half never leaves this process."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()

    @property
    def public_key(self) -> str:
        return base64.urlsafe_b64encode(self._private.public_key().public_bytes_raw()).rstrip(b"=").decode()

    def open(self, sealed: str, call_id: CallId) -> bytes:
        """Raises CallFailedError for what was not sealed to this key for this call."""
        try:
            return _suite().decrypt(decode_key(sealed), self._private, info=REPLY_INFO + call_id.encode())
        except (InvalidTag, ValueError) as error:
            raise CallFailedError("The host's reply cannot be read.") from error


class HpkeEnvelopes:
    """The port `Envelopes`."""

    def make(self) -> HpkeEnvelope:
        return HpkeEnvelope()


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def decode_key(text: str) -> bytes:
    """A base64url key without padding; raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
