"""The SSH keys of an account: add, list, remove. They are public, and are kept and shown as they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rental.domain.contract import Contract
from rental.domain.errors import InvalidRequestError
from rental.domain.ids import ContractId
from rental.domain.key_ring import NamedKey
from rental.domain.letting_in import lets_in
from rental.domain.ssh_key import parse_ssh_key
from rental.ports import Clock, Entropy, Page, Principal, Store
from rental.service.repeating import Repeatable, memo_of, read_earlier
from rental.service.retrying import retried

CONTRACTS_AT_A_TIME = 100
CURSOR = re.compile(r"[0-9]{10}-[0-9a-f]{64}")


@dataclass(frozen=True)
class RemovedKey:
    """A key that new contracts are no longer made with, and the live ones that let it in still."""

    key: NamedKey
    contract_ids: tuple[ContractId, ...]


@dataclass(frozen=True)
class SshKeys:
    store: Store
    clock: Clock
    entropy: Entropy

    def add_ssh_key(self, caller: Principal, name: str, line: str, repeatable: Repeatable | None) -> NamedKey:
        """Raises InvalidRequestError, ConflictError, NotFoundError for a repeat once it is removed, BusyError."""
        ssh_key = parse_ssh_key(line)

        def attempt(now: int) -> NamedKey:
            ring = self.store.read_key_ring(caller.account)  # before the memo: a repeat must not meet its own key
            if read_earlier(self.store, caller.account, repeatable, now) is not None:
                return ring.key(ssh_key.id)
            key = NamedKey(name, ssh_key.line, now)
            self.store.put_key_ring(ring.with_key(key), memo_of(caller.account, repeatable, key.id, now))
            return key

        return retried(attempt, self.clock, self.entropy)

    def list_ssh_keys(self, caller: Principal, cursor: str | None, limit: int) -> Page[NamedKey]:
        """Oldest first. Raises InvalidRequestError for a cursor that is not one of ours."""
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise InvalidRequestError("The cursor is not one of ours. Start again without it.")
        keys = sorted(self.store.read_key_ring(caller.account).keys, key=_place)
        rest = [each for each in keys if cursor is None or _place(each) > cursor]
        page = rest[:limit]
        return Page(page, _place(page[-1]) if len(rest) > len(page) else None)

    def remove_ssh_key(self, caller: Principal, key_id: str) -> RemovedKey:
        """No new contract lets it in; the answer names those that do. Raises NotFoundError, BusyError.

        It is looked for in the contracts last, so that of those which were made meanwhile most are found too.
        """

        def attempt(_now: int) -> NamedKey:
            ring = self.store.read_key_ring(caller.account)
            self.store.put_key_ring(ring.without_key(key_id))
            return ring.key(key_id)

        key = retried(attempt, self.clock, self.entropy)
        return RemovedKey(key, tuple(each.id for each in self._contracts(caller.account) if lets_in(each, key_id)))

    def _contracts(self, account: str) -> Iterator[Contract]:
        cursor: str | None = None
        while True:
            page = self.store.list_contracts(account, cursor, CONTRACTS_AT_A_TIME)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return


def _place(key: NamedKey) -> str:
    """Sorts keys by age; also where a page ends."""
    return f"{key.created_at:010d}-{key.id}"
