"""Who this machine is: its RSA key, and the id it got for it.

The key is on disk before it is registered. A machine killed in between repeats the call with the same key and gets the
same id.
"""

import base64
import json
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from local.agent.atomic import write_secret

FILE_NAME = "identity.json"
KEY_BITS = 2048


class IdentityError(Exception):
    """This machine has no identity, an unreadable one, or one that another agent uses."""


@dataclass(frozen=True)
class Identity:
    """A key, the activation it is for, and the machine's id once registered."""

    private_key: str
    fingerprint: str
    activation_id: str
    instance_id: str = ""

    def public_key(self) -> str:
        """The base64 of the DER of the public key, as registration wants it."""
        der = self._key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode()

    def sign(self, text: str) -> str:
        """Sign as a managed node does: PKCS#1 v1.5 over SHA-256, base64."""
        return base64.b64encode(self._key().sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()

    def _key(self) -> rsa.RSAPrivateKey:
        key = load_pem_private_key(self.private_key.encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise IdentityError("The stored key is not an RSA key.")
        return key


def load_identity(state_dir: Path) -> Identity | None:
    """Return the stored identity, if there is one."""
    path = state_dir / FILE_NAME
    if not path.exists():
        return None
    try:
        return Identity(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise IdentityError(f"{path} is not readable: {error}") from error


def prepare_identity(state_dir: Path, activation_id: str) -> Identity:
    """Return the identity for an activation: the stored one if it is for this one, else a fresh key."""
    stored = load_identity(state_dir)
    if stored is not None and stored.activation_id == activation_id:
        return stored
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    identity = Identity(pem, str(uuid.uuid4()), activation_id)
    _store(state_dir, identity)
    return identity


def keep_instance_id(state_dir: Path, identity: Identity, instance_id: str) -> Identity:
    """Store the id that registration gave."""
    registered = replace(identity, instance_id=instance_id)
    _store(state_dir, registered)
    return registered


def _store(state_dir: Path, identity: Identity) -> None:
    write_secret(state_dir / FILE_NAME, json.dumps(asdict(identity)))
