"""The loop around every change: read the book, decide, commit; when something came in between, decide again."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rental.domain.allocation import Manifest
from rental.domain.book import Book
from rental.domain.errors import BusyError, NotFoundError
from rental.domain.ids import ContractId, HostId
from rental.domain.retiring import end_with_host
from rental.domain.running import grant_waiters, grantable
from rental.ports import NO_EXTRAS, Bells, Clock, Entropy, Extras, GuardFailedError, Store, TakenError

ATTEMPTS = 8
BACKOFF_MS = 20
WRITES_PER_COMMIT = 60
"""A transaction holds at most 100 writes; the rest is for the manifest and for the waiters that wake."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ledger:
    """Reads and commits books. One change is at most `ATTEMPTS` transactions, with full jitter between them."""

    store: Store
    bells: Bells
    clock: Clock
    entropy: Entropy

    def change_contract(self, contract_id: ContractId, decide: Callable[[Book, int], Book]) -> Book:
        """Apply a decision to a contract and its host's manifest.

        Raises NotFoundError, BusyError, and whatever the decision refuses with.
        """

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            contract = self.store.read_contract(contract_id)
            if contract is None:
                raise NotFoundError("There is no such contract.")
            before = self.open_book(contract.host_id, [contract_id])
            return before, decide(before, now), NO_EXTRAS

        return self.change(attempt)

    def change(self, attempt: Callable[[int], tuple[Book, Book, Extras]]) -> Book:
        """Commit what `attempt` decides from a fresh read; raises BusyError when others were faster 8 times."""
        for tries in range(ATTEMPTS):
            now = self.clock.now()
            before, after, extras = attempt(now)
            after = end_with_host(after, now)
            if after == before and extras == NO_EXTRAS:
                return after
            try:
                committed = self.store.commit(before, self._granted(after, now), extras)
            except (GuardFailedError, TakenError) as error:
                _log.info("commit lost", extra={"tries": tries + 1, "why": str(error)})
                self.clock.sleep(self.entropy.below(BACKOFF_MS << tries) / 1000)
                continue
            if committed.bells:
                self.bells.ring(committed.bells)
            return committed
        raise BusyError("Too many requests want this host at once. Send the same request again.")

    def open_book(self, host_id: HostId, contract_ids: Iterable[ContractId] = ()) -> Book:
        """The manifest of a host with some of its contracts, read consistently. Raises NotFoundError."""
        manifest = self.store.read_manifest(host_id)
        if manifest is None:
            raise NotFoundError("There is no such host.")
        contracts = self.store.read_contracts(contract_ids)
        return Book(manifest, {contract.id: contract for contract in contracts})

    def _granted(self, book: Book, now: int) -> Book:
        """Let waiters have what the decision returned, in the same transaction."""
        book = grant_waiters(book, now)
        while missing := [each for each in grantable(book) if each not in book.contracts]:
            found = {contract.id: contract for contract in self.store.read_contracts(missing)}
            if not found:
                return book
            book = grant_waiters(replace(book, contracts={**book.contracts, **found}), now)
        return book


def portions(manifest: Manifest, contract_ids: Sequence[ContractId]) -> Iterator[Sequence[ContractId]]:
    """The contracts in as many commits as they need, at least one: each brings its timeline, a line an instance."""
    portion: list[ContractId] = []
    writes = 0
    for contract_id in contract_ids:
        more = 2 + len(manifest.claims[contract_id].instances)
        if portion and writes + more > WRITES_PER_COMMIT:
            yield portion
            portion, writes = [], 0
        portion.append(contract_id)
        writes += more
    yield portion
