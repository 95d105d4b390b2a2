"""What clients and host owners do with a contract: look at it, start, stop, extend and end it."""

from collections.abc import Callable
from dataclasses import dataclass

from rental.domain.book import Book, Cause, TimelineEntry
from rental.domain.contract import Contract
from rental.domain.ending import end_early, extend
from rental.domain.errors import NotFoundError
from rental.domain.ids import ContractId, InstanceId
from rental.domain.running import start_instances, stop_instances
from rental.ports import Page, Principal, Workflows
from rental.service.ledger import Ledger


@dataclass(frozen=True)
class Contracts:
    """Everything here raises NotFoundError for a contract that is not the caller's to touch."""

    ledger: Ledger
    workflows: Workflows

    def show_contract(self, contract_id: ContractId, caller: Principal) -> Contract:
        contract = self.ledger.store.read_contract(contract_id)
        if contract is None or caller.account not in (contract.account, contract.owner):
            raise NotFoundError("There is no such contract.")
        return contract

    def list_contracts(self, caller: Principal, cursor: str | None, limit: int) -> Page[Contract]:
        return self.ledger.store.list_contracts(caller.account, cursor, limit)

    def list_timeline(
        self, contract_id: ContractId, caller: Principal, cursor: str | None, limit: int
    ) -> Page[TimelineEntry]:
        self.show_contract(contract_id, caller)
        return self.ledger.store.list_timeline(contract_id, cursor, limit)

    def start_contract(self, contract_id: ContractId, caller: Principal, instance_id: InstanceId | None) -> Contract:
        """Raises ContractExpiredError, ContractOverError, ConflictError."""
        cause = Cause(caller.account, "start")
        return self._change(
            contract_id, caller, lambda book, now: start_instances(book, contract_id, instance_id, now, cause)
        )

    def stop_contract(self, contract_id: ContractId, caller: Principal, instance_id: InstanceId | None) -> Contract:
        """Raises ContractOverError, ConflictError."""
        cause = Cause(caller.account, "stop")
        return self._change(
            contract_id, caller, lambda book, now: stop_instances(book, contract_id, instance_id, now, cause)
        )

    def end_contract(self, contract_id: ContractId, caller: Principal) -> Contract:
        """End early, irreversibly. Raises ContractOverError."""
        cause = Cause(caller.account, "ended by the client")
        return self._change(contract_id, caller, lambda book, now: end_early(book, contract_id, now, cause))

    def extend_contract(self, contract_id: ContractId, caller: Principal, end_at: int) -> Contract:
        """Extend, as the owner of the host. Raises InvalidRequestError, ContractOverError."""
        cause = Cause(caller.account, "extended by the host")

        def decide(book: Book, now: int) -> Book:
            if book.contract(contract_id).owner != caller.account:
                raise NotFoundError("There is no such contract on your hosts.")
            return extend(book, contract_id, end_at, now, cause)

        return self._rerun(contract_id, decide)

    def _change(self, contract_id: ContractId, caller: Principal, decide: Callable[[Book, int], Book]) -> Contract:
        def decide_for_client(book: Book, now: int) -> Book:
            if book.contract(contract_id).account != caller.account:
                raise NotFoundError("There is no such contract.")
            return decide(book, now)

        return self._rerun(contract_id, decide_for_client)

    def _rerun(self, contract_id: ContractId, decide: Callable[[Book, int], Book]) -> Contract:
        """Change the contract; where its next deadline moved earlier, a new run takes over from the old."""
        runs: list[int] = []

        def watched(book: Book, now: int) -> Book:
            runs[:] = [book.contract(contract_id).run]
            return decide(book, now)

        contract = self.ledger.change_contract(contract_id, watched).contract(contract_id)
        if contract.run != runs[0]:
            self.workflows.start(contract.id, contract.run)
            self.workflows.stop(contract.id, runs[0])
        return contract
