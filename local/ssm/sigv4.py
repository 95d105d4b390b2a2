"""Signature Version 4: how requests to this service are signed and how they are checked.

Both sides need the same string to sign: callers and agents sign it with HMAC, a managed node that asks for its role's
credentials signs it with the RSA key it registered. Every request here is a POST to "/" without a query string.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from local.ssm.errors import SignatureError

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW_S = 300


@dataclass(frozen=True)
class Authorization:
    """The parsed Authorization header."""

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope, without the key id."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True)
class Caller:
    """Who signed a request."""

    arn: str
    access_key_id: str


@dataclass(frozen=True)
class KnownKey:
    """What is on record for an access key id; `expires_at` is epoch seconds, None for a lasting key."""

    arn: str
    secret: str
    session_token: str | None = None
    expires_at: float | None = None


def parse_authorization(headers: Mapping[str, str]) -> Authorization:
    """Take the Authorization header apart."""
    value = headers.get("authorization", "")
    if not value:
        raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
    algorithm, _, rest = value.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    credential = fields.get("Credential", "").split("/")
    signed = tuple(fields.get("SignedHeaders", "").split(";"))
    if algorithm != ALGORITHM or len(credential) != 5 or credential[4] != "aws4_request" or not fields.get("Signature"):
        raise SignatureError("IncompleteSignatureException", "The Authorization header is not a complete signature.")
    if "host" not in signed or "x-amz-date" not in signed:
        raise SignatureError("IncompleteSignatureException", "The headers host and x-amz-date must be signed.")
    key_id, date, region, service, _ = credential
    return Authorization(key_id, date, region, service, signed, fields["Signature"])


def string_to_sign(authorization: Authorization, headers: Mapping[str, str], body: bytes) -> str:
    """Build what is signed, from the headers as received (names in lower case) and the body."""
    canonical_headers = "".join(
        f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in authorization.signed_headers
    )
    signed_names = ";".join(authorization.signed_headers)
    body_hash = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n/\n\n{canonical_headers}\n{signed_names}\n{body_hash}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{ALGORITHM}\n{headers.get('x-amz-date', '')}\n{authorization.scope}\n{digest}"


def hmac_signature(secret: str, authorization: Authorization, text: str) -> str:
    """Sign the text with the key that SigV4 derives from the secret and the scope."""
    key = f"AWS4{secret}".encode()
    for part in (*authorization.scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def check_date(authorization: Authorization, headers: Mapping[str, str], now: float) -> None:
    """Refuse a request signed too long ago or in the future: a recorded request cannot be sent again later."""
    stamp = headers.get("x-amz-date", "")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise SignatureError("IncompleteSignatureException", "X-Amz-Date is not a date.") from error
    if abs(now - signed_at) > MAX_SKEW_S or not stamp.startswith(authorization.date):
        raise SignatureError("InvalidSignatureException", f"Signature expired or not yet valid: {stamp}")


def check_rsa(public_key: str, headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Check a managed node's request by the key it registered (base64 of the DER of an RSA public key)."""
    authorization = parse_authorization(headers)
    check_date(authorization, headers, now)
    key = load_der_public_key(base64.b64decode(public_key))
    if not isinstance(key, rsa.RSAPublicKey):
        raise SignatureError("InvalidSignatureException", "The registered key is not an RSA key.")
    text = string_to_sign(authorization, headers, body).encode()
    try:
        key.verify(base64.b64decode(authorization.signature), text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("InvalidSignatureException", "The signature does not match the registered key.") from error


class HmacVerifier:
    """Says who signed a request, given what is on record for an access key id."""

    def __init__(self, lookup: Callable[[str], KnownKey | None], clock: Callable[[], float]) -> None:
        self._lookup = lookup
        self._clock = clock

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Caller | None:
        """Return the signer; None for a request without an Authorization header."""
        if "authorization" not in headers:
            return None
        authorization = parse_authorization(headers)
        check_date(authorization, headers, self._clock())
        known = self._known(authorization, headers)
        expected = hmac_signature(known.secret, authorization, string_to_sign(authorization, headers, body))
        if not hmac.compare_digest(expected, authorization.signature):
            raise SignatureError(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided.",
            )
        return Caller(known.arn, authorization.key_id)

    def _known(self, authorization: Authorization, headers: Mapping[str, str]) -> KnownKey:
        known = self._lookup(authorization.key_id)
        token = headers.get("x-amz-security-token", "")
        if known is None or not hmac.compare_digest(known.session_token or "", token):
            raise SignatureError(
                "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        if known.expires_at is not None and known.expires_at <= self._clock():
            raise SignatureError("ExpiredTokenException", "The security token included in the request is expired")
        return known
