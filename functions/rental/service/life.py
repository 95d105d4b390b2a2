"""The steps of a contract's execution: each reads the contract, makes at most one change, and says what comes next.

An execution whose run is not current learns `stale` and ends. So a new run may resume anywhere, and a repeated step
changes nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.ending import begin_deletion, expire, give_up
from rental.domain.errors import NotFoundError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus
from rental.ports import Tasks
from rental.service.ledger import Ledger

Next = Literal["provision", "wait_for_end", "wait_for_deletion", "delete", "done", "failed", "stale"]


@dataclass(frozen=True)
class Answer:
    """Where the execution goes on; times in ISO 8601, as Step Functions waits for them."""

    next: Next
    end_at: str
    delete_after: str

    def to_json(self) -> str:
        return json.dumps(self.__dict__)


@dataclass(frozen=True)
class Life:
    """One method per task of the machine, of the same name."""

    ledger: Ledger
    tasks: Tasks

    def route(self, contract_id: ContractId, run: int) -> Answer:
        """Read the contract and say where its life goes on. Raises NotFoundError."""
        contract = self.ledger.store.read_contract(contract_id)
        if contract is None:
            raise NotFoundError("There is no such contract.")
        return answer_for(contract, run)

    def provision(self, contract_id: ContractId, run: int, task_token: str) -> None:
        """Remember the task that waits until the host runs the containers; answer it if that is true already."""
        self._wait(contract_id, run, "provision", task_token, lambda book, _now: book)

    def abandon(self, contract_id: ContractId, run: int, reason: str | None) -> Answer:
        """Compensate a provisioning that took too long: the contract fails and what it holds returns."""
        return self._change(contract_id, run, lambda book, now: give_up(book, contract_id, now, reason))

    def expire(self, contract_id: ContractId, run: int) -> Answer:
        """Expire the contract if its end has come; it may have been extended meanwhile."""
        return self._change(contract_id, run, lambda book, now: expire(book, contract_id, now))

    def delete(self, contract_id: ContractId, run: int, task_token: str) -> None:
        """Begin the deletion if the grace has passed, and remember the task that waits for the host's word."""
        self._wait(contract_id, run, "delete", task_token, lambda book, now: begin_deletion(book, contract_id, now))

    def _wait(
        self, contract_id: ContractId, run: int, step: str, task_token: str, decide: Callable[[Book, int], Book]
    ) -> None:
        def remember(book: Book, now: int) -> Book:
            if book.contract(contract_id).run != run:
                return book
            decided = decide(book, now)
            contract = decided.contract(contract_id)
            if answer_for(contract, run).next != step:
                return decided
            return decided.with_contract(replace(contract, task_tokens={step: task_token}, removing_since=now))

        contract = self.ledger.change_contract(contract_id, remember).contract(contract_id)
        answer = answer_for(contract, run)
        if answer.next != step:
            self.tasks.succeed(task_token, answer.to_json())

    def _change(self, contract_id: ContractId, run: int, decide: Callable[[Book, int], Book]) -> Answer:
        def guarded(book: Book, now: int) -> Book:
            return decide(book, now) if book.contract(contract_id).run == run else book

        return answer_for(self.ledger.change_contract(contract_id, guarded).contract(contract_id), run)


def answer_for(contract: Contract, run: int) -> Answer:
    """What the execution of this run does next, from the contract alone."""
    upcoming: dict[ContractStatus, Next] = {
        ContractStatus.PENDING: "provision",
        ContractStatus.ACTIVE: "wait_for_end",
        ContractStatus.EXPIRED: "wait_for_deletion",
        ContractStatus.ENDING: "delete",
        ContractStatus.DELETING: "delete",
        ContractStatus.DELETED: "done",
        ContractStatus.FAILED: "failed",
    }
    following = upcoming[contract.status] if contract.run == run else "stale"
    return Answer(following, _iso(contract.end_at), _iso(contract.delete_after))


def _iso(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
