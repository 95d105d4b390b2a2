"""A signing key that stays in KMS, as `cryptography` knows keys.

`cryptography` takes any `EllipticCurvePrivateKey`, an abstract class, and asks it for no more than a signature over
the bytes that it has encoded. So certificates are built by it and by nobody's own DER, and the key never leaves KMS.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

STAYS = "This key stays in KMS and does nothing but sign."


class KmsSigningKey(ec.EllipticCurvePrivateKey):
    """A key of spec ECC_NIST_P256."""

    def __init__(self, client: "KMSClient", key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """KMS takes up to 4096 bytes: no certificate of ours is near that."""
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise TypeError("this key signs SHA-256 digests only")
        answer = self._client.sign(
            KeyId=self._key_id,
            Message=bytes(data),
            MessageType="RAW",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        return bytes(answer["Signature"])

    @property
    def curve(self) -> ec.EllipticCurve:
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def exchange(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(STAYS)

    def private_numbers(self) -> NoReturn:
        raise TypeError(STAYS)

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(STAYS)

    def __copy__(self) -> "KmsSigningKey":
        return self

    def __deepcopy__(self, _memo: object) -> "KmsSigningKey":
        return self

    @cached_property
    def _public_key(self) -> ec.EllipticCurvePublicKey:
        der = self._client.get_public_key(KeyId=self._key_id)["PublicKey"]
        public = serialization.load_der_public_key(der)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise TypeError("this key is of another kind")
        return public
