"""What stands in the certificates of the authority and of instances, and what is read of a request for one."""

import ipaddress
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rental.domain.certificates import BACKDATED_S, DAY_S, Vouched
from rental.domain.errors import InvalidRequestError

AUTHORITY_LIFE_S = 3652 * DAY_S
MAX_CSR_LENGTH = 4096
MAX_COMMON_NAME = 64
EVERY_ADDRESS = ("0.0.0.0/0", "::/0")


def authority_certificate(public: ec.EllipticCurvePublicKey, zone: str, now: int) -> x509.CertificateBuilder:
    """It can vouch for servers alone, at any IP address and under no name outside the zone."""
    addresses = [x509.IPAddress(ipaddress.ip_network(each)) for each in EVERY_ADDRESS]
    name = _name(f"GPULease {zone}")
    builder = _certificate(public, name, name, now - BACKDATED_S, now + AUTHORITY_LIFE_S)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_SERVERS, critical=False)
        .add_extension(x509.NameConstraints([x509.DNSName(zone), *addresses], None), critical=True)
    )


def instance_certificate(
    public: ec.EllipticCurvePublicKey, vouched: Vouched, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    names = [x509.DNSName(vouched.dns_name), x509.IPAddress(ipaddress.ip_address(vouched.address))]
    subject = _name(f"instance {vouched.instance_id}")
    issuer_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key)
    builder = _certificate(public, subject, issuer.subject, vouched.not_before, vouched.not_after)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(_SERVERS, critical=False)
        .add_extension(issued_by, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )


def requested_key(csr: str) -> ec.EllipticCurvePublicKey:
    """The public key of a request whose sender holds the private one. Nothing else in it counts.

    Raises InvalidRequestError.
    """
    if len(csr) > MAX_CSR_LENGTH:
        raise InvalidRequestError(f"csr: it has more than {MAX_CSR_LENGTH} characters")
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        public = request.public_key()
        is_held = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidRequestError("csr: this is no certificate request in PEM") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise InvalidRequestError("csr: its key must be of the elliptic curve P-256")
    if not is_held:
        raise InvalidRequestError("csr: it is not signed with its own key")
    return public


def _certificate(
    public: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, not_before: int, not_after: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:MAX_COMMON_NAME])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


_SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
