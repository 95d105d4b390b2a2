"""Whom a contract lets in over ssh: public keys, copied when it is made and replaced only on its client's word.

A copy, because whoever may use an account's keys later on must not come into what runs already. The price: a key that
its account gives up is in its contracts still, and has to be replaced there.
"""

from collections.abc import Sequence
from dataclasses import replace

from rental.domain.book import Book, Cause
from rental.domain.contract import Contract, Instance
from rental.domain.errors import ConflictError, ContractExpiredError, ContractOverError, InvalidRequestError
from rental.domain.ids import ContractId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.ssh_key import parse_ssh_key, read_ssh_key
from rental.domain.ways_in import WAYS_IN

UNDER_WAY = "Its host has been asked to replace its SSH keys."


def takes_ssh_keys(mode: str) -> bool:
    """Whether anybody gets in over ssh in this mode."""
    return mode in WAYS_IN


def distinct_keys(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines as they are kept, each key once. Raises InvalidRequestError."""
    found: dict[str, str] = {}
    for key in map(parse_ssh_key, lines):
        found.setdefault(key.id, key.line)
    return tuple(found.values())


def first_keys(mode: str, given: Sequence[str] | None, kept: Sequence[str]) -> tuple[str, ...]:
    """The keys of a new contract: those given, or, where None is, the account's `kept`.

    Raises InvalidRequestError, and ConflictError where nobody could get in.
    """
    if not takes_ssh_keys(mode):
        if given:
            raise InvalidRequestError(f"ssh_keys: mode {mode} lets nobody in over ssh. Choose ssh or jupyter.")
        return ()
    keys = tuple(kept) if given is None else distinct_keys(given)
    if mode == "ssh" and not keys:
        raise ConflictError(
            "There is no SSH key that could get in. Add one to your account with POST /v1/ssh-keys, or send ssh_keys."
        )
    return keys


def replace_ssh_keys(book: Book, contract_id: ContractId, keys: tuple[str, ...], now: int, cause: Cause) -> Book:
    """Let in these keys and no others, also none at all; whatever runs is told. The same keys change nothing.

    Raises ConflictError, ContractExpiredError, ContractOverError.
    """
    contract = book.contract(contract_id)
    _check_may_replace(contract, now)
    if keys == contract.launch.ssh_keys:
        return book
    launch = replace(contract.launch, ssh_keys=keys, keys_revision=contract.launch.keys_revision + 1)
    book = book.with_contract(replace(contract, launch=launch))
    book = book.note(contract_id, contract.status, now, cause, reason=_told(keys))
    for instance in contract.instances:
        if instance.desired is Desired.RUNNING and instance.token is not None and not instance.waits:
            told = _want_new_keys(instance, now)
            book = book.with_contract(book.contract(contract_id).with_instance(told))
            book = book.ring(contract_id, told)
    return book


def lets_in(contract: Contract, key_id: str) -> bool:
    """Whether this key gets in, or would once the contract is extended and started again."""
    return contract.is_live and any(read_ssh_key(line).id == key_id for line in contract.launch.ssh_keys)


def _check_may_replace(contract: Contract, now: int) -> None:
    if not contract.is_live:
        raise ContractOverError(f"The contract is {contract.status}. Nobody gets in any more.")
    if contract.status_at(now) is ContractStatus.EXPIRED or contract.is_past_end(now):
        raise ContractExpiredError(
            "The contract has expired: nothing runs, so nobody gets in. Replace its keys when it is extended."
        )
    if not takes_ssh_keys(contract.launch.mode):
        raise ConflictError(f"The contract's mode is {contract.launch.mode}, which lets nobody in over ssh.")


def _want_new_keys(instance: Instance, now: int) -> Instance:
    """What runs says why it is not as wished until its host has done so; what is on its way there says more already."""
    told = instance.want(Desired.RUNNING, now)
    return replace(told, reason=UNDER_WAY) if told.status is InstanceStatus.RUNNING else told


def _told(keys: Sequence[str]) -> str:
    return f"Lets in {', '.join(read_ssh_key(line).fingerprint for line in keys) or 'nobody'}."
