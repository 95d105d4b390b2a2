"""Rent: turn an offer into a contract that holds its GPUs and its disk."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rental.domain.allocation import Manifest, grant_lease, take_slice
from rental.domain.book import Book, Cause
from rental.domain.contract import Contract, Instance, Launch
from rental.domain.errors import DurationTooLongError, InvalidRequestError
from rental.domain.ids import ContractId, InstanceId, OfferId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.money import slice_price_microusd_h
from rental.domain.offer import listing_of
from rental.domain.offered_modes import check_served
from rental.domain.publishing import number, publish, settle
from rental.domain.shares import GIB, share_of
from rental.domain.ways_in import Proxy

MAX_INSTANCES = 13
"""A contract's network is a /28: 16 addresses, less its own, the gateway's and the broadcast's."""


@dataclass(frozen=True)
class RentalRequest:
    """What a client asks for. `duration_s` None means as long as the offer lasts; `disk_gib` is per instance.

    `ssh_keys` None means all that the account has.
    """

    account: str
    offer_id: OfferId
    num_gpus: int
    label: str
    launch: Launch
    disk_gib: int
    duration_s: int | None
    instances: int
    ssh_keys: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RentalTerms:
    """What the deployment decides for every contract; seconds."""

    grace_s: int
    provision_timeout_s: int
    proxy: Proxy | None = None


@dataclass(frozen=True)
class Drawn:
    """What was drawn for a new contract: one id per instance, the first of them the contract's too; and as many numbers
    of the proxy as it takes (`count_proxy_ports`)."""

    ids: Sequence[int]
    proxy_ports: Sequence[int] = ()


def open_contract(manifest: Manifest, request: RentalRequest, terms: RentalTerms, drawn: Drawn, now: int) -> Book:
    """The book with a new contract whose instances are wanted running.

    Raises InvalidRequestError, DurationTooLongError, HostOfflineError, HostNotReadyError, ModeNotServedError,
    OfferTakenError, HostFullError, NotReachableError or NoPortsFreeError, and then nothing has changed.
    """
    end_at = _end_of(manifest, request, now)
    if request.instances > MAX_INSTANCES:
        raise InvalidRequestError(f"A contract's network has addresses for {MAX_INSTANCES} instances. Ask for fewer.")
    if request.num_gpus % request.instances:
        raise InvalidRequestError(
            f"{request.instances} instances cannot split {request.num_gpus} GPUs evenly. Ask for a divisor."
        )
    disk_bytes = request.disk_gib * GIB * request.instances
    indexes = take_slice(manifest, request.num_gpus, request.instances, disk_bytes)
    check_served(manifest, request.launch.mode, terms.proxy)
    listing = listing_of(manifest)
    launch = settle(request.launch, manifest.direct, terms.proxy)
    instances = publish(manifest, launch, _plan_instances(manifest, request, indexes, drawn.ids, now))
    instances = number(launch, instances, drawn.proxy_ports)
    contract = Contract(
        id=ContractId(drawn.ids[0]),
        account=request.account,
        host_id=manifest.host_id,
        owner=manifest.owner,
        offer_id=request.offer_id,
        label=request.label,
        launch=launch,
        gpus=tuple(manifest.inventory.gpus[index] for index in indexes),
        share=share_of(manifest.capacity, indexes, disk_bytes),
        disk_enforced=manifest.inventory.disk_enforced,
        unenforced=manifest.inventory.unenforced,
        price_microusd_h=slice_price_microusd_h(listing.gpu_price_microusd_h, request.num_gpus),
        disk_price_microusd_gib_month=listing.disk_price_microusd_gib_month,
        created_at=now,
        end_at=end_at,
        grace_s=terms.grace_s,
        provision_by=min(now + terms.provision_timeout_s, end_at),
        status=ContractStatus.PENDING,
        instances=(),
        address=manifest.direct.address if manifest.direct is not None and instances[0].ports else None,
    )
    return _lease_all(Book(manifest), contract, instances, now)


def _end_of(manifest: Manifest, request: RentalRequest, now: int) -> int:
    last = listing_of(manifest).end_at
    longest = last - now
    if longest <= 0:
        raise DurationTooLongError("The offer has ended. Search for another one.")
    if request.duration_s is not None and request.duration_s > longest:
        raise DurationTooLongError(f"The offer lasts {longest} s more. Ask for at most that, or leave duration_s out.")
    return now + request.duration_s if request.duration_s is not None else last


def _plan_instances(
    manifest: Manifest, request: RentalRequest, indexes: tuple[int, ...], ids: Sequence[int], now: int
) -> tuple[Instance, ...]:
    each = request.num_gpus // request.instances
    slices = [indexes[start : start + each] for start in range(0, len(indexes), each)]
    return tuple(
        Instance(
            id=InstanceId(identifier),
            gpu_indexes=gpu_indexes,
            share=share_of(manifest.capacity, gpu_indexes, request.disk_gib * GIB),
            status=InstanceStatus.CREATING,
            desired=Desired.RUNNING,
            generation=1,
            commanded_at=now,
        )
        for identifier, gpu_indexes in zip(ids, slices, strict=True)
    )


def _lease_all(book: Book, contract: Contract, instances: tuple[Instance, ...], now: int) -> Book:
    manifest = book.manifest
    leased = []
    for instance in instances:
        leased.append(replace(instance, token=manifest.next_token))
        manifest = grant_lease(manifest, contract.id, instance.id, instance.gpu_indexes)
    contract = replace(contract, instances=tuple(leased))
    book = book.with_manifest(manifest).with_contract(contract)
    book = book.note(contract.id, contract.status, now, Cause(contract.account, "rented"))
    for instance in leased:
        book = book.ring(contract.id, instance)
    return book
