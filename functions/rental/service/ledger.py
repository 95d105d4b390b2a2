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
MAX_WRITES = 100
"""Of one transaction: DynamoDB's limit."""
WRITES_PER_COMMIT = 60
"""That a decision on many contracts may need; the rest is for what goes with it and for the waiters that wake."""
WRITES_PER_WAITER = 2
CONTRACTS_PER_COMMIT = 13
"""Each is an item of up to 289 kB, with all that a client may send; a transaction takes 4 MiB, the manifest with it."""
EXTRA_WRITES = 16
"""The manifest, the memo, the host, and the offers of a listing: one for each power of two of its GPUs, twice."""

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
            before, after = self._granted(before, end_with_host(after, now), now)
            if after == before and extras == NO_EXTRAS:
                return after
            try:
                committed = self.store.commit(before, after, extras)
            except (GuardFailedError, TakenError) as error:
                _log.info("commit lost", extra={"tries": tries + 1, "why": str(error)})
                self.clock.sleep(self.entropy.below(BACKOFF_MS << tries) / 1000)
                continue
            if committed.bells:
                self.bells.ring(committed.bells)
            self._grant_rest(committed)
            return committed
        raise BusyError("Too many requests want this host at once. Send the same request again.")

    def open_book(self, host_id: HostId, contract_ids: Iterable[ContractId] = ()) -> Book:
        """The manifest of a host with some of its contracts, read consistently. Raises NotFoundError."""
        manifest = self.store.read_manifest(host_id)
        if manifest is None:
            raise NotFoundError("There is no such host.")
        contracts = self.store.read_contracts(contract_ids)
        return Book(manifest, {contract.id: contract for contract in contracts})

    def _granted(self, before: Book, after: Book, now: int) -> tuple[Book, Book]:
        """Let waiters have what the decision returned, in the same transaction, as many as have room in it.

        Answers both books with the waiters' contracts, so that one which gets nothing is not written.
        """
        waiting = len(after.manifest.waiters)
        room = _room_for_waiters(before, after)
        while True:
            after = grant_waiters(after, now, room - waiting + len(after.manifest.waiters))
            left = max(0, room - waiting + len(after.manifest.waiters))
            missing = [each for each in grantable(after) if each not in after.contracts][:left]
            found = {contract.id: contract for contract in self.store.read_contracts(missing)} if missing else {}
            if not found:
                return before, after
            before = replace(before, contracts={**before.contracts, **found})
            after = replace(after, contracts={**after.contracts, **found})

    def _grant_rest(self, book: Book) -> None:
        """For waiters that had no room. Where it breaks off, whatever touches the host next goes on with it."""
        if not grantable(book):
            return
        host_id = book.manifest.host_id

        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = self.open_book(host_id)
            return before, before, NO_EXTRAS

        try:
            self.change(attempt)
        except BusyError as error:
            _log.warning("waiters not granted yet", extra={"host_id": host_id, "why": str(error)})


def _room_for_waiters(before: Book, after: Book) -> int:
    """How many fit the transaction: each brings its contract and a line of its timeline."""
    changed = [each for each in after.contracts.values() if each != before.contracts.get(each.id)]
    numbers = sum(len(each.proxy_ports) for each in changed if each.rev == 0 or each.is_released)
    by_writes = (MAX_WRITES - EXTRA_WRITES - len(changed) - numbers - len(after.timeline)) // WRITES_PER_WAITER
    return min(by_writes, CONTRACTS_PER_COMMIT - len(changed))


def portions(manifest: Manifest, contract_ids: Sequence[ContractId]) -> Iterator[Sequence[ContractId]]:
    """The contracts in as many commits as they need, at least one.

    Each brings itself, a line of its timeline for each instance, two for the way to its end, and its numbers on the
    proxy that it gives back.
    """
    portion: list[ContractId] = []
    writes = 0
    for contract_id in contract_ids:
        claim = manifest.claims[contract_id]
        more = 3 + len(claim.instances) + claim.proxy_ports
        if len(portion) == CONTRACTS_PER_COMMIT or (portion and writes + more > WRITES_PER_COMMIT):
            yield portion
            portion, writes = [], 0
        portion.append(contract_id)
        writes += more
    yield portion
