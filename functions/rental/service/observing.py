"""Take in a host's report: refuse what is not news, hold it against what is wanted, answer the tasks that waited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.ids import ContractId
from rental.domain.observation import Report, contracts_to_read, observe
from rental.ports import NO_EXTRAS, Extras, Liveness, Sighting, Tasks
from rental.service.ledger import Ledger
from rental.service.life import answer_for

CONTRACTS_PER_COMMIT = 10
"""A transaction holds at most 100 writes, and each contract brings its timeline and may wake a waiter."""


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
        self._take_in(report, touched[:CONTRACTS_PER_COMMIT])
        for start in range(CONTRACTS_PER_COMMIT, len(touched), CONTRACTS_PER_COMMIT):
            self._take_in(report, touched[start : start + CONTRACTS_PER_COMMIT])
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
