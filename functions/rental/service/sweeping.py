"""Sweep: once a minute, start a run for every contract that is late and has none running, or an old one.

Heals what was lost between the commit of a contract and its execution. After a disaster that took the executions
with it, sweeping with a negative lateness resumes every contract that is not over.
"""

from dataclasses import dataclass, replace

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.ending import give_up
from rental.domain.lifecycle import ContractStatus
from rental.domain.observation import remind
from rental.ports import Tasks, Workflows
from rental.service.by_itself import each_by_itself
from rental.service.ledger import Ledger
from rental.service.life import answer_for

LATE_S = 60


@dataclass(frozen=True)
class Sweeping:
    ledger: Ledger
    workflows: Workflows
    tasks: Tasks

    def sweep(self, late_s: int = LATE_S) -> int:
        """Look at every contract that is at least `late_s` seconds late; returns how many runs were started."""
        before = self.ledger.clock.now() - late_s
        store = self.ledger.store
        late = {contract.id: contract for contract in store.read_contracts(store.list_due(before))}
        return each_by_itself(late, lambda each: self._resume(late[each], before), "contract not resumed")

    def _resume(self, contract: Contract, before: int) -> bool:
        if contract.next_due is None or contract.next_due > before:
            return False
        contract = self._abandoned(contract)
        self._wake(contract)
        is_old = contract.renew_at <= self.ledger.clock.now()
        if contract.next_due is None:
            return False
        if not is_old and self.workflows.is_running(contract.id, contract.run):
            return False

        def rerun(book: Book, now: int) -> Book:
            current = book.contract(contract.id)
            if current.run != contract.run:
                return book
            resumed = book.with_contract(replace(current.with_next_run(now), task_tokens={}))
            return remind(resumed, contract.id, now)

        resumed = self.ledger.change_contract(contract.id, rerun).contract(contract.id)
        self.workflows.start(resumed.id, resumed.run)
        if is_old:  # it may wait for months yet
            self.workflows.stop(contract.id, contract.run)
        return True

    def _abandoned(self, contract: Contract) -> Contract:
        """Fail what should have been provisioned by now: its execution may wait longer than the contract lasts."""
        if contract.status is not ContractStatus.PENDING or contract.provision_by > self.ledger.clock.now():
            return contract
        tokens = contract.task_tokens
        book = self.ledger.change_contract(contract.id, lambda book, now: give_up(book, contract.id, now))
        failed = book.contract(contract.id)
        return replace(failed, task_tokens=tokens)

    def _wake(self, contract: Contract) -> None:
        """Answer a task whose answer was lost."""
        answer = answer_for(contract, contract.run)
        for step, token in contract.task_tokens.items():
            if step != answer.next:
                self.tasks.succeed(token, answer.to_json())
