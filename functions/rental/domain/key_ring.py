"""The SSH keys of an account. A contract is made with copies of them, so none of them is ever looked up again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rental.domain.errors import ConflictError, NotFoundError
from rental.domain.ssh_key import SshKey, read_ssh_key

MAX_KEYS = 16


@dataclass(frozen=True)
class NamedKey:
    """A public key under the name that its account gave it; `line` is as `authorized_keys` has it."""

    name: str
    line: str
    created_at: int

    @property
    def ssh_key(self) -> SshKey:
        return read_ssh_key(self.line)

    @property
    def id(self) -> str:
        return self.ssh_key.id


@dataclass(frozen=True)
class KeyRing:
    """All of an account's keys, oldest first: one item, so that neither their number nor a double can be raced."""

    account: str
    keys: tuple[NamedKey, ...] = ()
    rev: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(each.line for each in self.keys)

    def key(self, key_id: str) -> NamedKey:
        """Raises NotFoundError."""
        for each in self.keys:
            if each.id == key_id:
                return each
        raise NotFoundError("There is no such SSH key.")

    def with_key(self, key: NamedKey) -> "KeyRing":
        """Raises ConflictError when it is there already, or when there is no room."""
        for each in self.keys:
            if each.id == key.id:
                raise ConflictError(f"This SSH key is there already, as {each.name!r}. Remove it first to rename it.")
        if len(self.keys) >= MAX_KEYS:
            raise ConflictError(f"An account has at most {MAX_KEYS} SSH keys. Remove one first.")
        return replace(self, keys=(*self.keys, key))

    def without_key(self, key_id: str) -> "KeyRing":
        """Raises NotFoundError."""
        gone = self.key(key_id)
        return replace(self, keys=tuple(each for each in self.keys if each is not gone))
