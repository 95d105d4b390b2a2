"""The end of a contract: expiry, extension, early end, deletion, failure.

Data is removed only after one of three one-way doors, each a transition in the lifecycle table: `deleting` (the
grace has passed), `ending` (the client wished it) and `failed` (nothing ever ran).
"""

from dataclasses import replace

from rental.domain.allocation import drop_waiter
from rental.domain.book import Book, Cause
from rental.domain.contract import EXTENSIONS_PER_RUN, Contract
from rental.domain.errors import ContractOverError, InvalidRequestError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.running import halt

SERVICE = "service"


def expire(book: Book, contract_id: ContractId, now: int) -> Book:
    """Expire the contract if its time has passed: everything stops, nothing is removed. Else the book as it was."""
    contract = book.contract(contract_id)
    if contract.status is not ContractStatus.ACTIVE or not contract.is_past_end(now):
        return book
    expired = replace(contract.become(ContractStatus.EXPIRED), task_tokens={})
    book = book.with_contract(expired).note(contract_id, expired.status, now, Cause(SERVICE, "end_at reached"))
    for instance in expired.instances:
        if instance.desired is Desired.RUNNING:
            reason = "The contract has expired."
            book = halt(book, contract_id, instance, now, Cause(SERVICE, "expired"), reason)
    return book


def extend(book: Book, contract_id: ContractId, end_at: int, now: int, cause: Cause) -> Book:
    """Move the end later. Within the grace the contract is active again, its instances stopped, its data intact.

    Raises InvalidRequestError when `end_at` is not later, ContractOverError once deletion has begun.
    """
    contract = book.contract(contract_id)
    if not contract.is_live:
        raise ContractOverError(f"The contract is {contract.status}. It cannot be extended any more.")
    if end_at <= max(contract.end_at, now):
        raise InvalidRequestError(
            f"end_at must be later than {max(contract.end_at, now)}: a contract is never shortened."
        )
    was_over = contract.status_at(now) is ContractStatus.EXPIRED
    book = expire(book, contract_id, now)
    extended = replace(book.contract(contract_id), end_at=end_at, extended=contract.extended + 1)
    if was_over:
        extended = extended.become(ContractStatus.ACTIVE)
    if was_over or extended.extended >= EXTENSIONS_PER_RUN:
        extended = extended.with_next_run(now)
    book = book.with_contract(extended).note(contract_id, extended.status, now, cause)
    return _tell_new_end(book, contract_id, now)


def end_early(book: Book, contract_id: ContractId, now: int, cause: Cause) -> Book:
    """End at the client's wish: irreversible, containers and disk go at once, no grace. Repeats change nothing.

    Raises ContractOverError for a contract that is over.
    """
    contract = book.contract(contract_id)
    if contract.status is ContractStatus.ENDING:
        return book
    if not contract.is_live:
        raise ContractOverError(f"The contract is {contract.status} already.")
    ending = contract.become(ContractStatus.ENDING, "The client ended it early.").with_next_run(now)
    return _want_absent(book, ending, now, cause)


def begin_deletion(book: Book, contract_id: ContractId, now: int) -> Book:
    """Go through the point of no return if the grace has passed. Else the book as it was."""
    contract = book.contract(contract_id)
    if contract.status is not ContractStatus.EXPIRED or now < contract.delete_after:
        return book
    deleting = contract.become(ContractStatus.DELETING, "The grace after its end has passed.")
    return _want_absent(book, deleting, now, Cause(SERVICE, "delete_after reached"))


def fail(book: Book, contract_id: ContractId, reason: str, now: int, cause: Cause) -> Book:
    """Give up provisioning; what was held returns on the host's word. Only a pending contract can fail."""
    contract = book.contract(contract_id)
    if contract.status is not ContractStatus.PENDING:
        return book
    return _want_absent(book, contract.become(ContractStatus.FAILED, reason), now, cause)


def give_up(book: Book, contract_id: ContractId, now: int, reason: str | None = None) -> Book:
    """Fail what was not provisioned in time, with what its host last said that it waits for."""
    told = next((each.reason for each in book.contract(contract_id).instances if each.reason is not None), None)
    reason = reason or "The host did not start the containers in time."
    reason = reason if told is None else f"{reason} It said: {told}"
    return fail(book, contract_id, reason, now, Cause(SERVICE, "provisioning gave up"))


def _want_absent(book: Book, contract: Contract, now: int, cause: Cause) -> Book:
    secretless = replace(contract.launch, sealed=None)
    removing = replace(contract, launch=secretless, task_tokens={}, removing_since=now)
    book = book.with_contract(removing)
    book = book.note(contract.id, contract.status, now, cause, reason=contract.reason)
    for instance in removing.instances:
        book = book.with_manifest(drop_waiter(book.manifest, instance.id))
        gone = instance.want(Desired.ABSENT, now)
        if not gone.is_idle:
            gone = gone.become(InstanceStatus.STOPPING)
        elif gone.waits:
            gone = gone.become(InstanceStatus.STOPPED)
        book = book.with_contract(book.contract(contract.id).with_instance(gone))
        book = book.ring(contract.id, gone)
    return book


def _tell_new_end(book: Book, contract_id: ContractId, now: int) -> Book:
    for instance in book.contract(contract_id).instances:
        if instance.desired is Desired.RUNNING and instance.token is not None:
            told = instance.want(Desired.RUNNING, now)
            book = book.with_contract(book.contract(contract_id).with_instance(told))
            book = book.ring(contract_id, told)
    return book
