"""Give a host up: one commit takes it out of the market for good, and the sweep then ends its contracts.

The owner's request does only the first, so that it takes no longer with 200 contracts than with none, and so that
there is one way only, which a crash anywhere does not break: what is left of a retired host is found in an index, each
minute. Until then whatever else touches one of its contracts ends it (`ledger.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rental.domain.book import Book
from rental.domain.errors import HostNotReadyError, NotFoundError
from rental.domain.host import HostStatus
from rental.domain.ids import ContractId, HostId
from rental.domain.retiring import retire
from rental.ports import NO_EXTRAS, Extras, Principal, Tasks
from rental.service.by_itself import each_by_itself
from rental.service.hosts import offers_in
from rental.service.ledger import Ledger, portions
from rental.service.life import answer_for
from rental.service.repeating import Repeatable, memo_of, read_earlier

HOSTS_PER_PAGE = 20


@dataclass(frozen=True)
class Retiring:
    """`status` is LOST or REVOKED."""

    ledger: Ledger

    def retire_host(
        self, host_id: HostId, caller: Principal, status: HostStatus, repeatable: Repeatable | None = None
    ) -> None:
        """Believe nothing more of a host, from now on. Repeats change nothing.

        Raises NotFoundError, HostNotReadyError, HostHeardError, IdempotencyMismatchError, BusyError.
        """

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            host = self.ledger.store.read_host(host_id)
            if host is None or host.owner != caller.account:
                raise NotFoundError("There is no such host.")
            if host.status is HostStatus.REGISTERING:
                raise HostNotReadyError("Its machine has not registered: nothing can be lost yet.")
            before = self.ledger.open_book(host_id)
            if read_earlier(self.ledger.store, caller.account, repeatable, now) is not None:
                return before, before, NO_EXTRAS
            retired, manifest = retire(host, before.manifest, status, caller.account, now)
            if manifest == before.manifest:
                return before, before, NO_EXTRAS
            memo = memo_of(caller.account, repeatable, host_id, now)
            extras = Extras(memo=memo, dropped_offers=offers_in(before.manifest), host=retired)
            return before, before.with_manifest(manifest), extras

        self.ledger.change(attempt)


@dataclass(frozen=True)
class Clearing:
    """Ends what is left of retired hosts."""

    ledger: Ledger
    tasks: Tasks

    def sweep(self) -> int:
        """End the contracts of every retired host that has any left; returns how many were ended."""
        return each_by_itself(self._left(), lambda left: self._end(*left), "retired host not cleared")

    def _left(self) -> Iterator[tuple[HostId, Sequence[ContractId]]]:
        """What to end in one commit each."""
        cursor = None
        while True:
            page = self.ledger.store.list_retiring(cursor, HOSTS_PER_PAGE)
            for manifest in page.items:
                for portion in portions(manifest, tuple(manifest.claims)):
                    yield manifest.host_id, portion
            if page.next is None:
                return
            cursor = page.next

    def _end(self, host_id: HostId, contract_ids: Sequence[ContractId]) -> int:
        waited: dict[ContractId, Mapping[str, str]] = {}

        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(host_id, contract_ids)
            waited.clear()
            waited.update({each.id: each.task_tokens for each in before.contracts.values()})
            return before, before, NO_EXTRAS  # the ledger ends whatever it touches of a retired host

        ended = self.ledger.change(attempt).contracts
        for contract in ended.values():
            answer = answer_for(contract, contract.run).to_json()
            for token in waited.get(contract.id, {}).values():
                self.tasks.succeed(token, answer)
        return len(ended)
