"""Take in a host's report: refuse what is not news, hold it against what is wanted, answer the tasks that waited."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rental.domain.allocation import Manifest
from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.ids import ContractId
from rental.domain.observation import Report, contracts_to_read, observe
from rental.ports import NO_EXTRAS, Extras, Liveness, Sighting, Tasks
from rental.service.ledger import Ledger
from rental.service.life import answer_for

WRITES_PER_COMMIT = 60
"""A transaction holds at most 100 writes; the rest is for the manifest and for the waiters that wake."""


@dataclass(frozen=True)
class Observing:
    """Runs the same for a change and for a plain heartbeat: both carry the whole state."""

    ledger: Ledger
    liveness: Liveness
    tasks: Tasks

    def observe(self, report: Report, sighting: Sighting) -> bool:
        """Returns False, having changed nothing, for a report that is repeated or older than one seen before."""
        if not self.liveness.advance(sighting):
            return False
        manifest = self.ledger.open_book(report.host_id).manifest
        touched = contracts_to_read(manifest, report, self.ledger.clock.now())
        for portion in _portions(manifest, touched):
            self._take_in(report, portion)
        return True

    def _take_in(self, report: Report, contract_ids: Sequence[ContractId]) -> None:
        waited: dict[ContractId, Mapping[str, str]] = {}

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(report.host_id, contract_ids)
            waited.clear()
            waited.update({each.id: each.task_tokens for each in before.contracts.values()})
            return before, observe(before, report, now), NO_EXTRAS

        after = self.ledger.change(attempt)
        for contract in after.contracts.values():
            self._answer(contract, waited.get(contract.id, {}))

    def _answer(self, contract: Contract, tokens: Mapping[str, str]) -> None:
        answer = answer_for(contract, contract.run)
        for step, token in tokens.items():
            if answer.next != step:
                self.tasks.succeed(token, answer.to_json())


def _portions(manifest: Manifest, contract_ids: Sequence[ContractId]) -> Iterator[Sequence[ContractId]]:
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
