"""The certificate of an instance's JupyterLab: where it comes from is a `TlsProvider`'s affair.

Today the host makes its own. A certificate signed by the service's authority comes through the same call, and a renewed
one is written over the old: JupyterLab reads it with the next connection.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE_S = 398 * 86_400
BACKDATED_S = 3600
"""For clocks that are behind."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM texts, as they are written for JupyterLab; the certificate with the chain that it needs."""

    certificate: bytes
    key: bytes = field(repr=False)


class TlsProvider(Protocol):
    def tls_for(self, instance_id: int) -> TlsFiles: ...


@dataclass(frozen=True)
class SelfMadeTls:
    """Signed by itself: whoever connects directly has to accept it once."""

    clock: Callable[[], float]

    def tls_for(self, instance_id: int) -> TlsFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        host = f"instance-{instance_id}.gpulease.internal"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        begins = datetime.datetime.fromtimestamp(self.clock() - BACKDATED_S, datetime.UTC)
        names = x509.SubjectAlternativeName(
            [x509.DNSName(host), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + datetime.timedelta(seconds=LIFE_S))
            .add_extension(names, critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return TlsFiles(certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
