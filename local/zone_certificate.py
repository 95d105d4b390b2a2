"""The certificate of a local zone's names, by an authority that is made for it and signs nothing else."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE_DAYS = 825
"""Browsers take no certificate that lasts longer."""
SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def provide(folder: Path, zone: str) -> tuple[Path, Path]:
    """Certificate and key for `*.<zone>`, made once; nobody else may read the key."""
    certificate, key = folder / "zone.crt", folder / "zone.key"
    if certificate.exists() and key.exists():
        return certificate, key
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, zone_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Local GPULease, {zone}")])
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    authority = _sign(issuer, authority_key, issuer, authority_key.public_key(), constraints, SIGNS_CERTIFICATES)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, zone)])
    names = x509.SubjectAlternativeName([x509.DNSName(f"*.{zone}")])
    signed = _sign(issuer, authority_key, subject, zone_key.public_key(), names)
    (folder / "authority.crt").write_bytes(_pem(authority))
    key.touch(mode=0o600)
    key.write_bytes(
        zone_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    certificate.write_bytes(_pem(signed))
    return certificate, key


def _sign(
    issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    """With the two key identifiers that strict clients ask for, Python's from 3.13 on among them."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=LIFE_DAYS),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    for identifier in (
        x509.SubjectKeyIdentifier.from_public_key(public),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()),
    ):
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(by, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
