"""Requests for certificates, the authority with a key in memory, and a TLS handshake that tells what a client would."""

import ipaddress
import itertools
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rental.adapters.authority import X509Authority
from rental.adapters.authority_store import ItemAuthorityStore
from rental.adapters.memory.table import MemoryTable
from rental.adapters.store import Table
from rental.ports import Clock

KEY_ID = "authority-key"
ZONE = "localhost"
_commits = itertools.count(1)


def make_authority(clock: Clock, table: Table | None = None, zone: str = ZONE, key: Any = None) -> X509Authority:
    records = ItemAuthorityStore(table or MemoryTable(), lambda: f"commit-ca-{next(_commits)}")
    return X509Authority(key or make_key(), KEY_ID, zone, records, clock)


def make_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def make_csr(key: Any = None, name: str = "evil.example.com") -> str:
    """A request that asks for more than its sender may have: an authority for that name, at another address."""
    wanted = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("8.8.8.8"))])
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .add_extension(wanted, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key or make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def shake_hands(chain: str, key: Any, trusted: str, name: str) -> None:
    """As a client that trusts `trusted` reaches a server at `name`; raises ssl.SSLCertVerificationError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        certificate, private = Path(folder, "certificate"), Path(folder, "key")
        certificate.write_text(chain)
        private.write_bytes(private_pem(key))
        server.load_cert_chain(certificate, private)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=trusted)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
