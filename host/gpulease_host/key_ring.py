"""The machine key in force, the one that shall replace it, and former ones that may still have something to open.

    machine.key           in force: signs, and new secrets are sealed to it
    machine.key.next      made, and perhaps in force already: the API's answer is still to come
    machine.key.former-…  signs nothing any more; kept until nothing that was sealed to it is left

Every step is one durable file more or one rename, so that a crash leaves a ring that can go on.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpulease_host.files import sync_folder
from gpulease_host.machine_key import MachineKey, MachineKeyError

NEXT = ".next"
FORMER = ".former-"


@dataclass
class KeyRing:
    """`path` is the file of the key in force. Shared by threads."""

    path: Path
    current: MachineKey = field(repr=False)
    next: MachineKey | None = field(default=None, repr=False)
    former: dict[str, MachineKey] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def open(cls, path: Path) -> KeyRing:
        """Raises MachineKeyError."""
        beside = path.with_name(path.name + NEXT)
        former = (MachineKey.load(each) for each in path.parent.glob(f"{path.name}{FORMER}*"))
        return cls(
            path,
            MachineKey.load(path),
            MachineKey.load(beside) if beside.exists() else None,
            {key.key_id: key for key in former},
        )

    @property
    def key_id(self) -> str:
        return self.current.key_id

    def sign_request(self, host_id: int, method: str, path: str, body: bytes, now: int) -> str:
        return self.current.sign_request(host_id, method, path, body, now)

    def sign(self, claims: dict[str, Any]) -> str:
        return self.current.sign(claims)

    def may_have_replaced(self, key_id: str) -> bool:
        """Whether a request that this key signed may have been refused only because another one is in force."""
        with self._lock:
            return self.next is not None or self.current.key_id != key_id

    def unseal(self, key_id: str, sealed: str, contract_id: int) -> bytes:
        """Open what was sealed to one of the keys. Raises MachineKeyError."""
        with self._lock:
            known = {**self.former, self.current.key_id: self.current}
            if self.next is not None:
                known[self.next.key_id] = self.next
        if key_id not in known:
            raise MachineKeyError("they are sealed to another machine key than this host's")
        return known[key_id].unseal(sealed, contract_id)

    def make_next(self) -> MachineKey:
        """The key that shall replace the present one, durable; the same until it does."""
        with self._lock:
            if self.next is None:
                made = MachineKey.generate()
                made.save(self._beside(NEXT))
                self.next = made
            return self.next

    def drop_next(self) -> None:
        """The next key will never be in force. Whoever is not certain of that keeps it."""
        with self._lock:
            self._beside(NEXT).unlink(missing_ok=True)
            self.next = None

    def promote(self, key: MachineKey) -> None:
        """The next key is in force, if it is still this one: the answer may be late."""
        with self._lock:
            if self.next is not key:
                return
            self.current.save(self._beside(FORMER + self.current.key_id))
            self._beside(NEXT).replace(self.path)
            sync_folder(self.path.parent)
            self.former[self.current.key_id] = self.current
            self.current, self.next = self.next, None

    def keep_only(self, key_ids: Collection[str], told: str) -> None:
        """Destroy the former keys to which nothing is sealed any more.

        That was `told` the key of this id: under an earlier one it says nothing of what was sealed to that one since.
        """
        with self._lock:
            if self.current.key_id != told:
                return
            for key_id in [each for each in self.former if each not in key_ids]:
                self._beside(FORMER + key_id).unlink(missing_ok=True)
                del self.former[key_id]

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)
