"""What hosts sign: requests and reports, as EdDSA JWTs of their machine key."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from rental.adapters.jws import BadTokenError, read_token
from rental.adapters.sealing import decode_key
from rental.domain.errors import UnauthenticatedError
from rental.domain.host import Host, HostStatus, MachineKey, check_not_retired
from rental.domain.ids import MAX_ID
from rental.domain.refusal import Why

CLOCK_SKEW_S = 120
REQUEST_LIFE_S = 60


def make_machine_key(signing_key: str, sealing_key: str) -> MachineKey:
    """The public key of a machine, named by its digest; raises ValueError for one that nothing can be sealed to."""
    signing, sealing = decode_key(signing_key), decode_key(sealing_key)
    if len(signing) != 32 or len(sealing) != 32:
        raise ValueError("a machine key has two halves of 32 bytes")
    X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(sealing))  # refuses points of low order
    return MachineKey(hashlib.sha256(signing + sealing).hexdigest()[:16], signing_key, sealing_key)


def claimed_host_id(token: str) -> int:
    """Whose key a request says it is signed with, before anything is verified. Raises UnauthenticatedError."""
    try:
        host_id = int(read_token(token).unverified()["iss"])
    except (BadTokenError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise UnauthenticatedError("The machine token cannot be read.", why=Why.MALFORMED) from error
    if not 0 < host_id <= MAX_ID:
        raise UnauthenticatedError("The machine token names no host.", why=Why.MALFORMED)
    return host_id


def verify_request(token: str, host: Host | None, path: str, body: bytes, now: int) -> None:
    """Raises UnauthenticatedError unless this host signed exactly this request within the last minute."""
    claims = _verified(token, host)
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
    if (claims.get("htm"), claims.get("htu"), claims.get("bh")) != ("POST", path, digest):
        raise UnauthenticatedError("The machine token was made for another request.", why=Why.OTHER_REQUEST)
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int) or expires - issued > REQUEST_LIFE_S:
        raise UnauthenticatedError("The machine token lives too long.", why=Why.STALE)
    if not issued - CLOCK_SKEW_S <= now < expires + CLOCK_SKEW_S:
        raise UnauthenticatedError("The machine token is out of date. Check the machine's clock.", why=Why.STALE)


def verify_report(jws: str, host: Host | None, now: int) -> Mapping[str, Any]:
    """The claims of a report. Raises UnauthenticatedError for one that is forged, foreign or stale."""
    claims = _verified(jws, host)
    if host is None or claims.get("host_id") != host.id:
        raise UnauthenticatedError("The report speaks of another host.", why=Why.FOREIGN)
    sent_at = claims.get("sent_at")
    if not isinstance(sent_at, int) or abs(now - sent_at) > CLOCK_SKEW_S:
        raise UnauthenticatedError("The report is stale, or the machine's clock is wrong.", why=Why.STALE)
    return claims


def verify_new_key(proof: str, host_id: int, key: MachineKey, old_key_id: str) -> None:
    """Raises UnauthenticatedError unless whoever holds the new key wants this host to have it after the old one."""
    claims = _signed(proof, key)
    if (claims.get("iss"), claims.get("replaces")) != (str(host_id), old_key_id):
        text = "The proof of the new machine key was made for another host or another key."
        raise UnauthenticatedError(text, why=Why.OTHER_REQUEST)


def _verified(token: str, host: Host | None) -> dict[str, Any]:
    if host is None or host.machine_key is None:
        raise UnauthenticatedError("The host is not registered.", why=Why.UNKNOWN_HOST)
    if host.status is HostStatus.QUARANTINED:
        text = "The host is quarantined. Its owner sees why; add the machine as a new host."
        raise UnauthenticatedError(text, why=Why.QUARANTINED)
    claims = _signed(token, host.machine_key)
    check_not_retired(host)
    return claims


def _signed(token: str, key: MachineKey) -> dict[str, Any]:
    """What this key has signed; raises UnauthenticatedError."""
    try:
        read = read_token(token)
        if read.key_id != key.key_id:
            raise UnauthenticatedError("The token names another machine key.", why=Why.OTHER_KEY)
        return read.verified(decode_key(key.signing_key))
    except BadTokenError as error:
        raise UnauthenticatedError("The machine's signature does not hold.", why=Why.FORGED) from error
