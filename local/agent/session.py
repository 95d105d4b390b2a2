"""The session of the host's role: asked for with the machine's key, renewed in time, shared with the host program."""

import configparser
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.agent.atomic import write_secret
from local.agent.identity import Identity
from local.agent.wire import JsonObject, RefusedError, Signer, Wire, secret_signer

PROFILE = "default"
LONGEST_USE_S = 1800.0

# What a service says that does not know the session any more, for instance after it lost its memory.
STALE_SESSION_CODES = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "ExpiredTokenException",
        "ExpiredToken",
        "InvalidSignatureException",
        "InvalidToken",
    }
)


@dataclass(frozen=True)
class _Open:
    signer: Signer
    renew_at: float


class RoleSession:
    """Signed calls in the name of this machine."""

    def __init__(
        self, wire: Wire, identity: Identity, credentials_file: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._wire = wire
        self._identity = identity
        self._credentials_file = credentials_file
        self._clock = clock
        self._lock = threading.Lock()
        self._open: _Open | None = None

    def call(self, service: str, target: str, fields: JsonObject) -> JsonObject:
        """Make a call with the session; with a new one if the old is not known any more."""
        session = self._current(None)
        try:
            return self._wire.call(service, target, fields, session.signer)
        except RefusedError as error:
            if error.code not in STALE_SESSION_CODES:
                raise
        return self._wire.call(service, target, fields, self._current(session).signer)

    def _current(self, refused: _Open | None) -> _Open:
        with self._lock:
            if self._open is None or self._open is refused or self._open.renew_at <= self._clock():
                self._open = self._renew()
            return self._open

    def _renew(self) -> _Open:
        signer = Signer(self._identity.instance_id, lambda _, text: self._identity.sign(text))
        token = self._wire.call("ssm", "AmazonSSM.RequestManagedInstanceRoleToken", None, signer)
        key_id, secret = str(token["AccessKeyId"]), str(token["SecretAccessKey"])
        session_token = str(token["SessionToken"])
        share_credentials(self._credentials_file, key_id, secret, session_token)
        lifetime_s = float(token["TokenExpirationDate"]) - self._clock()
        renew_at = self._clock() + min(LONGEST_USE_S, lifetime_s / 2)
        return _Open(secret_signer(key_id, secret, session_token), renew_at)


def share_credentials(path: Path, key_id: str, secret: str, session_token: str) -> None:
    """Write the session into the shared credentials file, leaving other profiles as they are."""
    profiles = configparser.RawConfigParser()
    profiles.read(path)
    profiles[PROFILE] = {
        "aws_access_key_id": key_id,
        "aws_secret_access_key": secret,
        "aws_session_token": session_token,
    }
    text = io.StringIO()
    profiles.write(text)
    write_secret(path, text.getvalue())
