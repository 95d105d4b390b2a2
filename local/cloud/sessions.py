"""Sessions of host roles that outlive the emulator: a daemon keeps using its credentials over a restart."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from local.cloud import emulator
from local.cloud.settings import ACCOUNT_ID, write_secret

LIFETIME_S = 3600


@dataclass(frozen=True)
class RoleSession:
    """Temporary credentials of one role, for one machine."""

    role_name: str
    session_name: str
    access_key: str
    secret_key: str
    token: str
    expires_at: float


class RoleSessions:
    """Opens sessions and remembers them until they expire."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._sessions: dict[str, RoleSession] = {}

    def restore(self) -> None:
        """Make the sessions of the last run valid again."""
        if not self._path.exists():
            return
        for record in json.loads(self._path.read_text()):
            session = RoleSession(**record)
            if session.expires_at > self._clock():
                self._sessions[session.access_key] = session
                _register(session)

    def open(self, role_name: str, session_name: str) -> RoleSession:
        """Open a session whose ARN ends in its name."""
        session = RoleSession(
            role_name=role_name,
            session_name=session_name,
            access_key="ASIA" + secrets.token_hex(8).upper(),
            secret_key=secrets.token_urlsafe(30),
            token=secrets.token_urlsafe(60),
            expires_at=float(int(self._clock()) + LIFETIME_S),
        )
        living = {key: old for key, old in self._sessions.items() if old.expires_at > self._clock()}
        self._sessions = {**living, session.access_key: session}
        write_secret(self._path, json.dumps([asdict(one) for one in self._sessions.values()]))
        _register(session)
        return session


def _register(session: RoleSession) -> None:
    emulator.register_session(
        session.access_key,
        {
            "Arn": f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{session.role_name}/{session.session_name}",
            "UserId": f"{session.role_name}:{session.session_name}",
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.token,
            "Expiration": session.expires_at,
        },
    )
