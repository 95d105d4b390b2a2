"""Take in a host's report: refuse what is not news, hold it against what is wanted, answer the tasks that waited."""

from dataclasses import dataclass

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.observation import Report, contracts_to_read, observe
from rental.ports import NO_EXTRAS, Extras, Liveness, Sighting, Tasks
from rental.service.ledger import Ledger
from rental.service.life import answer_for


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
        waited: dict[int, str] = {}

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(report.host_id)
            before = self.ledger.open_book(report.host_id, contracts_to_read(before.manifest, report, now))
            waited.clear()
            waited.update({each.id: _step(each) for each in before.contracts.values()})
            return before, observe(before, report, now), NO_EXTRAS

        after = self.ledger.change(attempt)
        for contract in after.contracts.values():
            self._answer(contract, waited.get(contract.id, ""))
        return True

    def _answer(self, contract: Contract, step: str) -> None:
        token = contract.task_tokens.get(step)
        answer = answer_for(contract, contract.run)
        if token is not None and answer.next != step:
            self.tasks.succeed(token, answer.to_json())


def _step(contract: Contract) -> str:
    return next(iter(contract.task_tokens), "")
