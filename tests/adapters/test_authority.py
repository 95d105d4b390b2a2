"""The authority over both twins of the table, and what OpenSSL makes of its certificates."""

import ipaddress
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from rental.adapters import certificates
from rental.adapters.authority import X509Authority
from rental.adapters.kms_signing import KmsSigningKey
from rental.adapters.memory.table import MemoryTable
from rental.adapters.store import Table
from rental.domain.certificates import DAY_S, Vouched
from rental.domain.errors import InvalidRequestError
from rental.domain.ids import InstanceId
from tests.fakes.authority import make_authority, make_csr, make_key, private_pem, shake_hands
from tests.fakes.ports import FakeClock

NOW = int(time.time())
"""Real time: OpenSSL reads the clock itself."""
CLOCK = FakeClock(NOW)
VOUCHED = Vouched(InstanceId(7), "203.0.113.5", "j-7.gpu.example", NOW - 60, NOW + 30 * DAY_S)
ZONE = "gpu.example"


@pytest.fixture
def authority(table: Table) -> X509Authority:
    return make_authority(CLOCK, table, ZONE)


def read(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def extension(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind)


def test_the_authority_may_vouch_for_servers_of_its_zone_and_at_addresses_only(authority: X509Authority) -> None:
    (own,) = read(authority.certificate())
    own.verify_directly_issued_by(own)
    constraints = extension(own, x509.NameConstraints)
    assert constraints.critical
    assert set(constraints.value.permitted_subtrees) == {
        x509.DNSName(ZONE),
        x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
        x509.IPAddress(ipaddress.ip_network("::/0")),
    }
    basic = extension(own, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = extension(own, x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert list(extension(own, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    years = (own.not_valid_after_utc - datetime.fromtimestamp(NOW, UTC)).days / 365.25
    assert 9.9 < years < 10.1


def test_the_authority_is_made_once_whoever_asks(table: Table) -> None:
    key = make_key()
    first, second = make_authority(CLOCK, table, ZONE, key), make_authority(CLOCK, table, ZONE, key)
    assert first.certificate() == second.certificate() == first.certificate()


def test_of_two_who_make_it_at_once_one_wins_and_both_use_it() -> None:
    for _ in range(20):
        table, key, both = MemoryTable(), make_key(), threading.Barrier(2)
        found: list[str] = []

        def ask(authority: X509Authority, both: threading.Barrier = both, found: list[str] = found) -> None:
            both.wait()
            found.append(authority.certificate())

        threads = [threading.Thread(target=ask, args=(make_authority(CLOCK, table, ZONE, key),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 2
        assert len(set(found)) == 1


def test_another_zone_has_another_certificate_of_the_same_key(table: Table) -> None:
    key = make_key()
    one, other = (make_authority(CLOCK, table, zone, key) for zone in (ZONE, "other.example"))
    (first,), (second,) = read(one.certificate()), read(other.certificate())
    assert first.public_key() == second.public_key()
    assert x509.DNSName("other.example") in extension(second, x509.NameConstraints).value.permitted_subtrees


def test_a_certificate_says_what_the_service_says_and_nothing_that_was_asked(authority: X509Authority) -> None:
    key = make_key()
    leaf, own = read(authority.sign(make_csr(key), VOUCHED))
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.rfc4514_string() == "CN=instance 7"
    names = extension(leaf, x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("j-7.gpu.example"), x509.IPAddress(ipaddress.ip_address("203.0.113.5"))]
    basic = extension(leaf, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca) == (True, False)
    usage = extension(leaf, x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier
    assert issuer == extension(own, x509.SubjectKeyIdentifier).value.digest
    assert int(leaf.not_valid_after_utc.timestamp()) == VOUCHED.not_after
    again, _ = read(authority.sign(make_csr(key), VOUCHED))
    assert again.serial_number != leaf.serial_number
    assert leaf.serial_number.bit_length() > 64


@pytest.mark.parametrize("address", ["203.0.113.5", "2001:db8::5"])
def test_whoever_trusts_the_authority_trusts_the_notebook_by_name_and_address(
    authority: X509Authority, address: str
) -> None:
    key = make_key()
    chain = authority.sign(make_csr(key), replace(VOUCHED, address=address))
    for name in (address, "j-7.gpu.example"):
        shake_hands(chain, key, authority.certificate(), name)
    for name in ("203.0.113.6", "j-8.gpu.example", "evil.example.com"):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            shake_hands(chain, key, authority.certificate(), name)


def test_whoever_does_not_trust_it_does_not(authority: X509Authority) -> None:
    key = make_key()
    stranger = make_authority(CLOCK, None, ZONE)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority.sign(make_csr(key), VOUCHED), key, stranger.certificate(), "203.0.113.5")


@pytest.mark.parametrize("name", ["example.com", "gpu.example.com", "www.google.com"])
def test_a_certificate_for_a_name_outside_the_zone_is_believed_by_nobody(name: str) -> None:
    """Somebody who could sign with the authority's key still could not be another site."""
    authority_key, key = make_key(), make_key()
    authority = make_authority(CLOCK, None, ZONE, authority_key)
    chain = authority.sign(make_csr(key), replace(VOUCHED, dns_name=name))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(chain, key, authority.certificate(), name)


def test_a_certificate_cannot_vouch_for_another(authority: X509Authority) -> None:
    key, other = make_key(), make_key()
    issuing, own = read(authority.sign(make_csr(key), VOUCHED))
    below = certificates.instance_certificate(other.public_key(), VOUCHED, issuing).sign(key, hashes.SHA256())
    chain = "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in (below, issuing, own))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"invalid CA certificate|path length"):
        shake_hands(chain, other, authority.certificate(), "203.0.113.5")


def unsound() -> dict[str, str]:
    sound = make_csr()
    body = sound.splitlines()
    swapped = make_csr().splitlines()
    return {
        "nothing": "",
        "no PEM": "x",
        "no request in it": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "a certificate": make_authority(CLOCK).certificate(),
        "a private key": private_pem(make_key()).decode(),
        "half a character": "\ud800",
        "too long": sound + "x" * certificates.MAX_CSR_LENGTH,
        "another's signature": "\n".join([*body[:-3], *swapped[-3:]]),
        "an RSA key": make_csr(rsa.generate_private_key(65537, 2048)),
        "a larger curve": make_csr(make_key(ec.SECP384R1())),
        "Bitcoin's curve": make_csr(make_key(ec.SECP256K1())),
    }


@pytest.mark.parametrize("what", unsound())
def test_what_is_no_sound_request_is_refused(authority: X509Authority, what: str) -> None:
    with pytest.raises(InvalidRequestError, match="csr: "):
        authority.sign(unsound()[what], VOUCHED)


def test_a_request_for_a_key_that_its_sender_does_not_hold_is_refused(authority: X509Authority) -> None:
    """The public key of another in a request that is signed with one's own."""
    mine, theirs = make_key(), make_key()
    request = x509.load_pem_x509_csr(make_csr(mine).encode())
    der = request.public_bytes(serialization.Encoding.DER)
    asked, meant = (
        each.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        for each in (mine, theirs)
    )
    assert der.count(asked) == 1
    forged = ssl.DER_cert_to_PEM_cert(der.replace(asked, meant)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    with pytest.raises(InvalidRequestError, match="not signed with its own key"):
        authority.sign(forged, VOUCHED)


def test_what_is_signed_of_the_longest_zone_fits_what_kms_takes() -> None:
    zone = ".".join(["x" * 63] * 3)
    authority = make_authority(CLOCK, None, zone)
    chain = read(authority.sign(make_csr(), replace(VOUCHED, dns_name=f"j-{(1 << 53) - 1}.{zone}", address="2001::1")))
    assert all(len(each.tbs_certificate_bytes) < 4096 for each in chain)


def test_a_key_in_kms_signs_as_one_in_memory_does(aws: None, table: Table) -> None:
    kms = boto3.client("kms")
    key_id = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    in_kms = KmsSigningKey(kms, key_id)
    key, authority = make_key(), make_authority(CLOCK, table, ZONE, in_kms)
    shake_hands(authority.sign(make_csr(key), VOUCHED), key, authority.certificate(), "203.0.113.5")
    (own,) = read(authority.certificate())
    assert own.public_key() == in_kms.public_key()


def test_a_key_in_kms_is_not_taken_out(aws: None) -> None:
    kms = boto3.client("kms")
    key_id = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    with pytest.raises(TypeError, match="stays in KMS"):
        private_pem(KmsSigningKey(kms, key_id))


def test_a_signature_of_another_key_than_the_authoritys_is_noticed_before_anybody_gets_it(table: Table) -> None:
    make_authority(CLOCK, table, ZONE).certificate()
    other = make_authority(CLOCK, table, ZONE)
    with pytest.raises(InvalidSignature):
        other.sign(make_csr(), VOUCHED)
