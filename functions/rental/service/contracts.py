"""What clients and host owners do with a contract: look at it, start, stop, reboot, extend, let in, end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rental.domain.book import Book, Cause, TimelineEntry
from rental.domain.contract import Contract
from rental.domain.ending import end_early, extend
from rental.domain.errors import NotFoundError
from rental.domain.ids import ContractId, InstanceId
from rental.domain.letting_in import distinct_keys, replace_ssh_keys
from rental.domain.running import reboot_instances, start_instances, stop_instances
from rental.ports import NO_EXTRAS, Extras, Page, Principal, Workflows
from rental.service.ledger import Ledger
from rental.service.repeating import Repeatable, memo_of, read_earlier

InstanceDecision = Callable[[Book, ContractId, InstanceId | None, int, Cause], Book]


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

    def start_contract(
        self,
        contract_id: ContractId,
        caller: Principal,
        instance_id: InstanceId | None,
        repeatable: Repeatable | None = None,
    ) -> Contract:
        """Raises ContractExpiredError, ContractOverError, ConflictError."""
        decide = _on_instances(start_instances, contract_id, instance_id, Cause(caller.account, "start"))
        return self._change(contract_id, caller, decide, repeatable)

    def stop_contract(
        self,
        contract_id: ContractId,
        caller: Principal,
        instance_id: InstanceId | None,
        repeatable: Repeatable | None = None,
    ) -> Contract:
        """Raises ContractOverError, ConflictError."""
        decide = _on_instances(stop_instances, contract_id, instance_id, Cause(caller.account, "stop"))
        return self._change(contract_id, caller, decide, repeatable)

    def reboot_contract(
        self,
        contract_id: ContractId,
        caller: Principal,
        instance_id: InstanceId | None,
        repeatable: Repeatable | None = None,
    ) -> Contract:
        """Raises ContractExpiredError, ContractOverError, ConflictError."""
        decide = _on_instances(reboot_instances, contract_id, instance_id, Cause(caller.account, "reboot"))
        return self._change(contract_id, caller, decide, repeatable)

    def replace_ssh_keys(self, contract_id: ContractId, caller: Principal, lines: Sequence[str]) -> Contract:
        """Let in these alone. Raises InvalidRequestError, ContractExpiredError, ContractOverError, ConflictError."""
        keys = distinct_keys(lines)
        cause = Cause(caller.account, "ssh keys replaced")
        return self._change(
            contract_id, caller, lambda book, now: replace_ssh_keys(book, contract_id, keys, now, cause)
        )

    def end_contract(self, contract_id: ContractId, caller: Principal) -> Contract:
        """End early, irreversibly. Raises ContractOverError."""
        cause = Cause(caller.account, "ended by the client")
        return self._change(contract_id, caller, lambda book, now: end_early(book, contract_id, now, cause))

    def extend_contract(
        self, contract_id: ContractId, caller: Principal, end_at: int, repeatable: Repeatable | None = None
    ) -> Contract:
        """Extend, as the owner of the host. Raises InvalidRequestError, ContractOverError."""
        cause = Cause(caller.account, "extended by the host")

        def decide(book: Book, now: int) -> Book:
            if book.contract(contract_id).owner != caller.account:
                raise NotFoundError("There is no such contract.")
            return extend(book, contract_id, end_at, now, cause)

        return self._rerun(contract_id, caller, decide, repeatable)

    def _change(
        self,
        contract_id: ContractId,
        caller: Principal,
        decide: Callable[[Book, int], Book],
        repeatable: Repeatable | None = None,
    ) -> Contract:
        def decide_for_client(book: Book, now: int) -> Book:
            if book.contract(contract_id).account != caller.account:
                raise NotFoundError("There is no such contract.")
            return decide(book, now)

        return self._rerun(contract_id, caller, decide_for_client, repeatable)

    def _rerun(
        self,
        contract_id: ContractId,
        caller: Principal,
        decide: Callable[[Book, int], Book],
        repeatable: Repeatable | None,
    ) -> Contract:
        """Change the contract; where its next deadline moved earlier, a new run takes over from the old.

        A repeated request changes nothing. Raises IdempotencyMismatchError.
        """
        runs: list[int] = []

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            contract = self.ledger.store.read_contract(contract_id)
            if contract is None:
                raise NotFoundError("There is no such contract.")
            before = self.ledger.open_book(contract.host_id, [contract_id])
            runs[:] = [before.contract(contract_id).run]
            if read_earlier(self.ledger.store, caller.account, repeatable, now) is not None:
                return before, before, NO_EXTRAS
            memo = memo_of(caller.account, repeatable, contract_id, now)
            return before, decide(before, now), Extras(memo=memo)

        contract = self.ledger.change(attempt).contract(contract_id)
        if contract.run != runs[0]:
            self.workflows.start(contract.id, contract.run)
            self.workflows.stop(contract.id, runs[0])
        return contract


def _on_instances(
    decision: InstanceDecision, contract_id: ContractId, instance_id: InstanceId | None, cause: Cause
) -> Callable[[Book, int], Book]:
    return lambda book, now: decision(book, contract_id, instance_id, now, cause)
