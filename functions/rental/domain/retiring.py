"""A host that is given up for good: declared lost by its owner, or its machine key revoked.

Its word counts no more, so nothing waits for it: its contracts end, and what they held returns. What is left of it on
the machine ends when the machine asks: it learns that its host is retired, and comes back only under a new id.
"""

from dataclasses import replace

from rental.domain.allocation import Manifest, Retirement, drop_waiter, return_lease
from rental.domain.book import Book, Cause
from rental.domain.contract import Contract
from rental.domain.errors import HostHeardError
from rental.domain.host import Host, HostStatus
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus

NEVER = 1 << 53
"""Above every number that a report can have."""

REASONS = {
    HostStatus.LOST: "The host was declared lost by its owner. What was on it is gone.",
    HostStatus.REVOKED: "The host's machine key was revoked. Nobody can say what became of what was on it.",
}


def retire(host: Host, manifest: Manifest, status: HostStatus, actor: str, now: int) -> tuple[Host, Manifest]:
    """Give the host up: it leaves the market, and no report changes anything any more. Repeats change nothing.

    `status` is LOST or REVOKED. Raises HostHeardError when a host that is still heard is to be declared lost.
    """
    if manifest.retired is not None:
        return host, manifest
    if status is HostStatus.LOST and manifest.is_in_reach:
        raise HostHeardError(
            "The host reports still. Stop its daemon and wait until it is offline, or revoke its machine key."
        )
    retirement = Retirement(now, actor, REASONS[status])
    return (
        replace(host, status=status, reason=REASONS[status]),
        replace(manifest, listing=None, retired=retirement, heard_seq=NEVER),
    )


def end_with_host(book: Book, now: int) -> Book:
    """End every contract of the book, if its host is retired: nobody is left to do it or to confirm it."""
    if book.manifest.retired is None:
        return book
    for contract in tuple(book.contracts.values()):
        if not contract.is_released or contract.is_live:
            book = _end(book, contract, book.manifest.retired, now)
    return book


def _end(book: Book, contract: Contract, retired: Retirement, now: int) -> Book:
    cause = Cause(retired.actor, "host retired")
    secretless = replace(contract.launch, sealed=None)
    book = book.with_contract(replace(contract, launch=secretless, task_tokens={}, offline_since=None))
    for status in _way_out(contract.status):
        book = book.with_contract(book.contract(contract.id).become(status, retired.reason))
        book = book.note(contract.id, status, now, cause, reason=retired.reason)
    return _remove_all(book, contract.id, retired, now, cause)


def _way_out(status: ContractStatus) -> tuple[ContractStatus, ...]:
    """The arrows to the end; what has failed stays failed."""
    match status:
        case ContractStatus.PENDING:
            return (ContractStatus.FAILED,)
        case ContractStatus.ACTIVE | ContractStatus.EXPIRED:
            return (ContractStatus.ENDING, ContractStatus.DELETED)
        case ContractStatus.ENDING | ContractStatus.DELETING:
            return (ContractStatus.DELETED,)
        case ContractStatus.FAILED | ContractStatus.DELETED:
            return ()


def _remove_all(book: Book, contract_id: ContractId, retired: Retirement, now: int, cause: Cause) -> Book:
    for instance in book.contract(contract_id).instances:
        if instance.is_removed:
            continue
        wanted = instance if instance.desired is Desired.ABSENT else instance.want(Desired.ABSENT, now)
        removed = replace(wanted.become(InstanceStatus.REMOVED, retired.reason), token=None)
        book = book.with_manifest(drop_waiter(return_lease(book.manifest, instance.id), instance.id))
        book = book.with_contract(book.contract(contract_id).with_instance(removed))
        book = book.note(contract_id, removed.status, now, cause, instance_id=removed.id, reason=removed.reason)
    return book
