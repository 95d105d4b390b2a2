"""Start, stop and reboot instances: who may run, and who must wait for its GPUs.

A stopped instance holds no GPU. To start, it needs its own GPUs free; else it waits (`scheduling`), first come first
served, and is granted them in the transaction that returns the last of them.
"""

import sys
from collections.abc import Iterable
from dataclasses import replace

from rental.domain.allocation import Waiter, drop_waiter, grant_lease, may_lease
from rental.domain.book import Book, Cause
from rental.domain.contract import Contract, Instance
from rental.domain.errors import ConflictError, ContractExpiredError, ContractOverError
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus


def start_instances(
    book: Book, contract_id: ContractId, instance_id: InstanceId | None, now: int, cause: Cause
) -> Book:
    """Want the instances running. Raises ContractExpiredError, ContractOverError, ConflictError, NotFoundError."""
    contract = book.contract(contract_id)
    check_may_run(contract, now)
    if contract.status is ContractStatus.PENDING:
        raise ConflictError("The contract is still being provisioned. Wait until it is active.")
    for instance in chosen(contract, instance_id):
        if instance.desired is not Desired.RUNNING:
            book = _start(book, contract_id, instance, now, cause)
    return book


def stop_instances(book: Book, contract_id: ContractId, instance_id: InstanceId | None, now: int, cause: Cause) -> Book:
    """Want the instances stopped; a waiting one stops waiting. Raises ContractOverError, ConflictError."""
    contract = book.contract(contract_id)
    if not contract.is_live:
        raise ContractOverError(f"The contract is {contract.status}. It cannot be stopped any more.")
    if contract.status is ContractStatus.PENDING:
        raise ConflictError("The contract is still being provisioned. Wait until it is active, or delete it.")
    for instance in chosen(contract, instance_id):
        if instance.desired is Desired.RUNNING:
            book = halt(book, contract_id, instance, now, cause)
    return book


def reboot_instances(
    book: Book, contract_id: ContractId, instance_id: InstanceId | None, now: int, cause: Cause
) -> Book:
    """Restart what runs, on the same GPUs under a new lease, whose higher token ends what is there.

    Where none is named, every instance that runs. Raises ContractExpiredError, ContractOverError, ConflictError,
    NotFoundError.
    """
    contract = book.contract(contract_id)
    check_may_run(contract, now)
    if contract.status is ContractStatus.PENDING:
        raise ConflictError("The contract is still being provisioned. Wait until it is active.")
    rebooted = [each for each in chosen(contract, instance_id) if each.status is InstanceStatus.RUNNING]
    if not rebooted:
        found = ", ".join(sorted({each.status for each in chosen(contract, instance_id)}))
        raise ConflictError(f"Only what is running can be rebooted; this is {found}. Wait until it runs, or start it.")
    for instance in rebooted:
        if not set(instance.gpu_indexes).isdisjoint(book.manifest.quarantined):
            raise ConflictError("A GPU of the instance is out of use: it would not start again. Save your data first.")
        book = _lease(book, contract_id, instance, now, cause)
    return book


def halt(
    book: Book, contract_id: ContractId, instance: Instance, now: int, cause: Cause, reason: str | None = None
) -> Book:
    """Want one instance stopped; its lease stays until the host says that the container is gone."""
    after = InstanceStatus.STOPPED if instance.is_idle else InstanceStatus.STOPPING
    stopping = instance.want(Desired.STOPPED, now).become(after, reason)
    book = book.with_manifest(drop_waiter(book.manifest, instance.id))
    book = book.with_contract(book.contract(contract_id).with_instance(stopping))
    book = book.note(contract_id, stopping.status, now, cause, instance_id=instance.id, reason=reason)
    return book.ring(contract_id, stopping)


def grant_waiters(book: Book, now: int, at_most: int = sys.maxsize) -> Book:
    """Give waiters their GPUs whose turn has come, as far as the waiters' contracts stand in the book.

    On a retired host nobody's turn comes any more.
    """
    for waiter in book.manifest.waiters if book.manifest.retired is None else ():
        if at_most <= 0:
            break
        if waiter.contract_id in book.contracts and may_lease(book.manifest, waiter.instance_id, waiter.gpu_indexes):
            contract = book.contract(waiter.contract_id)
            instance = contract.instance(waiter.instance_id)
            if contract.is_past_end(now):
                book = halt(book, contract.id, instance, now, Cause("service", "expired"), "The contract has expired.")
            else:
                book = _lease(book, contract.id, instance, now, Cause("service", "gpus free"))
            at_most -= 1
    return book


def grantable(book: Book) -> tuple[ContractId, ...]:
    """The contracts of the waiters whose turn has come."""
    manifest = book.manifest
    if manifest.retired is not None:
        return ()
    turns = (each for each in manifest.waiters if may_lease(manifest, each.instance_id, each.gpu_indexes))
    return tuple(dict.fromkeys(waiter.contract_id for waiter in turns))


def check_may_run(contract: Contract, now: int) -> None:
    """Raises ContractOverError or ContractExpiredError when nothing of this contract may run now."""
    if not contract.is_live:
        raise ContractOverError(f"The contract is {contract.status}. Rent again to run something.")
    if contract.status is ContractStatus.EXPIRED or contract.is_past_end(now):
        raise ContractExpiredError(
            "The contract has expired and cannot start. Save your data before delete_after or ask for an extension."
        )


def chosen(contract: Contract, instance_id: InstanceId | None) -> Iterable[Instance]:
    """One instance or all; raises NotFoundError."""
    return contract.instances if instance_id is None else (contract.instance(instance_id),)


def _start(book: Book, contract_id: ContractId, instance: Instance, now: int, cause: Cause) -> Book:
    if may_lease(book.manifest, instance.id, instance.gpu_indexes):
        return _lease(book, contract_id, instance, now, cause)
    out_of_use = not set(instance.gpu_indexes).isdisjoint(book.manifest.quarantined)
    why = "one of them is out of use on the host" if out_of_use else "another contract uses them now"
    waiting = instance.want(Desired.RUNNING, now).become(
        InstanceStatus.SCHEDULING, f"Waits for its GPUs: {why}. Stop cancels."
    )
    waiter = Waiter(contract_id, instance.id, instance.gpu_indexes, now)
    book = book.with_manifest(replace(book.manifest, waiters=(*book.manifest.waiters, waiter)))
    book = book.with_contract(book.contract(contract_id).with_instance(waiting))
    book = book.note(contract_id, waiting.status, now, cause, instance_id=instance.id, reason=waiting.reason)
    return book if waiting.is_idle else book.ring(contract_id, waiting)


def _lease(book: Book, contract_id: ContractId, instance: Instance, now: int, cause: Cause) -> Book:
    token = book.manifest.next_token
    manifest = drop_waiter(grant_lease(book.manifest, contract_id, instance.id, instance.gpu_indexes), instance.id)
    loading = replace(
        instance.want(Desired.RUNNING, now).become(InstanceStatus.LOADING),
        token=token,
        exit_code=None,
        onstart_exit_code=None,
        started_at=None,
    )
    book = book.with_manifest(manifest).with_contract(book.contract(contract_id).with_instance(loading))
    book = book.note(contract_id, loading.status, now, cause, instance_id=instance.id)
    return book.ring(contract_id, loading)


def wanted_of(contract: Contract) -> Desired:
    """What is wanted of a contract as a whole: the liveliest wish of its instances."""
    wishes = {instance.desired for instance in contract.instances}
    return next(each for each in (Desired.RUNNING, Desired.STOPPED, Desired.ABSENT) if each in wishes)
