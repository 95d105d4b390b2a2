"""Who may come in: accounts, and the API keys that act for them.

The id of a key is its SHA-256, which is also all that is kept of it. Keys are random numbers of 256 bits, so who
knows an id is no nearer to the key; and an id leads to its record without an index, which could lag behind.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from rental.domain.errors import ForbiddenError


class Role(StrEnum):
    CLIENT = "client"
    HOST = "host"
    ADMIN = "admin"
    PROXY = "proxy"
    """One of the deployment's proxies: reads which host may listen where, and nothing else."""


@dataclass(frozen=True)
class Account:
    """Who rents or lets. Its name is given once and never changes."""

    name: str
    label: str
    created_at: int


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key: never the key."""

    id: str
    account: str
    role: Role
    label: str
    created_at: int


def key_id_of(secret: str) -> str:
    """The id of the key whose text is `secret`."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make_secret(role: Role, token: str) -> str:
    """The text of a new key; it says what it is, so that a lost one is recognized."""
    return f"gl_{role}_{token}"


def check_may_manage(caller_account: str, caller_role: str, account: str, role: Role) -> None:
    """A key makes and revokes keys of its own account and role, so that none can gain what it has not.

    An administrator's does so for all. Raises ForbiddenError.
    """
    if caller_role == Role.ADMIN:
        return
    if account != caller_account:
        raise ForbiddenError("Only an administrator manages the keys of other accounts.")
    if role != caller_role:
        raise ForbiddenError(f"A key of role {caller_role} manages keys of role {caller_role} only.")
