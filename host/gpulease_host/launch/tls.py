"""The certificate of an instance's JupyterLab: a key of its own, a request to sign it, and what came of that.

The key is made here and leaves the host in no request. JupyterLab reads both files with the next connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

RENEW_SHARE = 1 / 3
"""Of its life, when so much is left: of 30 days, the last ten."""
BEGIN = "-----BEGIN CERTIFICATE-----"


class CertificateError(ValueError):
    """A certificate cannot be used, in a sentence."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM texts, as they are written for JupyterLab; the certificate with the authority's own after it."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Validity:
    """Epoch seconds."""

    begins_at: float
    ends_at: float

    @property
    def renew_at(self) -> float:
        return self.ends_at - (self.ends_at - self.begins_at) * RENEW_SHARE


@dataclass(frozen=True)
class Request:
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)

    def csr(self) -> str:
        """It names nothing: the service says what the certificate is for."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def files(self, chain: str) -> TlsFiles:
        """With what the service has signed. Raises CertificateError."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files = TlsFiles(chain.encode(), key)
        check(files)
        return files


def check(files: TlsFiles) -> Validity:
    """Raises CertificateError unless this is a certificate of this very key by the authority behind it."""
    try:
        certificate, authority = x509.load_pem_x509_certificates(files.certificate)
        key = serialization.load_pem_private_key(files.key, None)
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateError("it is not a key and a certificate with its authority's own") from error
    if certificate.public_key() != key.public_key():
        raise CertificateError("it is of another key")
    return Validity(certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def authority_of(chain: str) -> str:
    """The last certificate of a chain."""
    return BEGIN + chain.rpartition(BEGIN)[2]
