"""The service's certificate authority: X.509 certificates, signed by whatever key it is given.

In the deployed service that key is in KMS (`kms_signing.py`), in tests it is in memory; all else is the same.
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rental.adapters import certificates
from rental.domain.certificates import Vouched
from rental.domain.errors import BusyError
from rental.ports import AuthorityRecord, AuthorityStore, Clock, GuardFailedError, TakenError


class X509Authority:
    """The port `Authority`. Its own certificate is made when it is first needed, and by whoever is first."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, key_id: str, zone: str, records: AuthorityStore, clock: Clock
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._zone = zone
        self._records = records
        self._clock = clock
        self._known: x509.Certificate | None = None

    def certificate(self) -> str:
        return _pem(self._own())

    def sign(self, csr: str, vouched: Vouched) -> str:
        public = certificates.requested_key(csr)
        own = self._own()
        signed = certificates.instance_certificate(public, vouched, own).sign(self._key, hashes.SHA256())
        signed.verify_directly_issued_by(own)  # that another key was at work must not first be noticed by a client
        return _pem(signed) + _pem(own)

    def _own(self) -> x509.Certificate:
        if self._known is None:
            record = self._records.read_authority(self._key_id, self._zone) or self._create()
            self._known = x509.load_pem_x509_certificate(record.certificate.encode())
        return self._known

    def _create(self) -> AuthorityRecord:
        made = certificates.authority_certificate(self._key.public_key(), self._zone, self._clock.now())
        record = AuthorityRecord(self._key_id, self._zone, _pem(made.sign(self._key, hashes.SHA256())))
        try:
            self._records.create_authority(record)
        except TakenError:
            first = self._records.read_authority(self._key_id, self._zone)
            if first is not None:
                return first
            raise
        except GuardFailedError as error:
            raise BusyError("The certificate authority is being set up. Ask again.") from error
        return record


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
