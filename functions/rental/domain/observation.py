"""Observe: hold what a host reports against what is wanted, and let what is become known.

Every report carries the host's whole state, so nothing depends on any one report arriving. A report speaks of an
instance only through the generation that the host has applied: an older one says nothing about what is wanted now,
except that the command may have to be sent again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from rental.domain.allocation import Claim, ClaimedInstance, Manifest, return_lease
from rental.domain.book import Book, Cause
from rental.domain.contract import Contract, Instance, Progress
from rental.domain.ending import fail, give_up
from rental.domain.host import Inventory
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.domain.lifecycle import REMOVING, ContractStatus, Desired, InstanceStatus
from rental.domain.publishing import renumber
from rental.domain.readiness import Readiness
from rental.domain.ways_in import HostPort

COMMAND_IN_FLIGHT_S = 130
"""A command is given up by SSM after 120 s; what still differs later than this is commanded again."""

ReportedStatus = Literal["loading", "running", "stopping", "stopped", "exited", "absent", "failed"]
GONE: frozenset[ReportedStatus] = frozenset({"stopped", "exited", "absent", "failed"})
HOST = "host"

STARTING = frozenset({InstanceStatus.SCHEDULING, InstanceStatus.CREATING, InstanceStatus.LOADING})
UNCONFIRMED = frozenset({InstanceStatus.CREATING, InstanceStatus.LOADING, InstanceStatus.STOPPING})


@dataclass(frozen=True)
class ReportedInstance:
    """A host's word on one instance; `generation` is the highest that it has applied."""

    contract_id: ContractId
    instance_id: InstanceId
    generation: int
    token: int | None
    status: ReportedStatus
    reason: str | None
    exit_code: int | None
    started_at: int | None
    progress: Progress | None = None
    ssh_host_key: str | None = None
    onstart_exit_code: int | None = None
    image_digest: str | None = None


@dataclass(frozen=True)
class ReportedGpu:
    """`index` is the driver's number now, which changes when a GPU before it is gone; `uuid` stays.

    Where a report has no `uuid`, its number has to do.
    """

    index: int
    status: Literal["free", "held", "quarantined"]
    instance_id: InstanceId | None
    uuid: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Report:
    """The whole state of a host as it says."""

    host_id: HostId
    instances: Mapping[InstanceId, ReportedInstance]
    gpus: tuple[ReportedGpu, ...]
    readiness: Readiness = field(default_factory=Readiness)
    ports_in_use: tuple[HostPort, ...] = ()
    """Published numbers that something which is not of any contract has; a host's program may be too old to tell."""

    def holds_gpu(self, instance_id: InstanceId) -> bool:
        """Whether the host still sees this instance on a GPU."""
        return any(gpu.status == "held" and gpu.instance_id == instance_id for gpu in self.gpus)

    def out_of_use(self, inventory: Inventory) -> tuple[int, ...]:
        """Registered GPUs that the host does not vouch for: those in quarantine, and those that it does not name."""
        fit = [gpu for gpu in self.gpus if gpu.status != "quarantined"]
        uuids = {gpu.uuid for gpu in fit}
        unnamed = {gpu.index for gpu in fit if gpu.uuid is None}
        return tuple(gpu.index for gpu in inventory.gpus if gpu.uuid not in uuids and gpu.index not in unnamed)

    def gpu_faults(self, inventory: Inventory) -> dict[int, str]:
        """Why registered GPUs are in quarantine, by their registered index."""
        indexes = {gpu.uuid: gpu.index for gpu in inventory.gpus}
        told = ((indexes.get(gpu.uuid), gpu) if gpu.uuid is not None else (gpu.index, gpu) for gpu in self.gpus)
        return {
            index: gpu.reason
            for index, gpu in told
            if index is not None and gpu.status == "quarantined" and gpu.reason is not None
        }


def contracts_to_read(manifest: Manifest, report: Report, now: int) -> tuple[ContractId, ...]:
    """The contracts that this report changes or that must be commanded again: most reports touch none."""
    if manifest.offline_since is not None:
        return tuple(manifest.claims)
    return tuple(
        contract_id
        for contract_id, claim in manifest.claims.items()
        if _may_be_late(claim, now)
        or any(
            _is_news(claimed, report.instances.get(instance_id)) or _must_resend(claimed, report, instance_id, now)
            for instance_id, claimed in claim.instances.items()
        )
    )


def observe(book: Book, report: Report, now: int) -> Book:
    """The book after the report. The contracts named by `contracts_to_read` must stand in it."""
    if (manifest := _heed_machine(book.manifest, report)) != book.manifest:
        book = book.with_manifest(manifest)
    for contract in tuple(book.contracts.values()):
        book = book.with_contract(contract.be_heard())
        for instance_id in (each.id for each in contract.instances):
            instance = book.contract(contract.id).instance(instance_id)
            reported = report.instances.get(instance.id)
            if reported is not None and _speaks_of_now(instance, reported):
                book = _learn(book, contract.id, instance, reported, report, now)
            elif _must_resend(instance, report, instance.id, now):
                book = _resend(book, contract.id, instance, now)
        book = _follow(book, contract.id, now)
        if book.contract(contract.id).status is ContractStatus.PENDING and now >= contract.end_at:
            book = give_up(book, contract.id, now, "It had not started when its end came.")
        if contract.offline_since is not None:
            book = _note_heard(book, contract, now)
    return book


def _heed_machine(manifest: Manifest, report: Report) -> Manifest:
    """What it says of its GPUs and of itself. A figure in a reason changes all the time, and alone is no news."""
    faults = report.gpu_faults(manifest.inventory)
    if _without_figures(faults) == _without_figures(manifest.gpu_faults):
        faults = dict(manifest.gpu_faults)
    return replace(
        manifest,
        quarantined=report.out_of_use(manifest.inventory),
        readiness=report.readiness,
        gpu_faults=faults,
        ports_in_use=report.ports_in_use,
    )


def _without_figures(faults: Mapping[int, str]) -> dict[int, str]:
    return {index: re.sub(r"\d+", "", reason) for index, reason in faults.items()}


def remind(book: Book, contract_id: ContractId, now: int) -> Book:
    """Ring again for every instance that the host has not yet confirmed: its command may have been lost."""
    for instance in book.contract(contract_id).instances:
        if instance.status in UNCONFIRMED or (instance.desired is Desired.ABSENT and not instance.is_removed):
            book = _resend(book, contract_id, instance, now)
    return book


def _may_be_late(claim: Claim, now: int) -> bool:
    """Whether it may be pending after its end: the report that comes first then ends it, before the sweep does."""
    starts = (each.desired is Desired.RUNNING and each.status in STARTING for each in claim.instances.values())
    return now >= claim.end_at and any(starts)


def _is_news(claimed: ClaimedInstance, reported: ReportedInstance | None) -> bool:
    if reported is None or not _speaks_of_now(claimed, reported):
        return False
    waits = claimed.status is InstanceStatus.SCHEDULING
    if waits:
        return claimed.token is not None
    match claimed.desired:
        case Desired.RUNNING:
            told = (reported.status, reported.reason, reported.onstart_exit_code)
            return told != (claimed.status, claimed.reason, claimed.onstart_exit_code)
        case Desired.STOPPED:
            return claimed.status not in (InstanceStatus.STOPPED, InstanceStatus.EXITED)
        case Desired.ABSENT:
            return claimed.status is not InstanceStatus.REMOVED


def _speaks_of_now(wanted: ClaimedInstance | Instance, reported: ReportedInstance) -> bool:
    if wanted.desired is Desired.RUNNING and wanted.status is not InstanceStatus.SCHEDULING:
        if reported.token != wanted.token:
            return False
        return reported.generation >= wanted.generation or reported.status == "loading"
    return reported.generation >= wanted.generation


def _must_resend(wanted: ClaimedInstance | Instance, report: Report, instance_id: InstanceId, now: int) -> bool:
    if wanted.status is InstanceStatus.REMOVED or (wanted.status is InstanceStatus.SCHEDULING and wanted.token is None):
        return False
    reported = report.instances.get(instance_id)
    applied = reported is not None and reported.generation >= wanted.generation
    return not applied and now - wanted.commanded_at > COMMAND_IN_FLIGHT_S


def _resend(book: Book, contract_id: ContractId, instance: Instance, now: int) -> Book:
    again = replace(instance, commanded_at=now)
    book = book.with_contract(book.contract(contract_id).with_instance(again))
    return book.ring(contract_id, again)


def _learn(
    book: Book,
    contract_id: ContractId,
    instance: Instance,
    reported: ReportedInstance,
    report: Report,
    now: int,
) -> Book:
    if instance.desired is not Desired.RUNNING or instance.waits:
        return _learn_gone(book, contract_id, instance, reported, report, now)
    known = replace(
        instance,
        ssh_host_key=reported.ssh_host_key or instance.ssh_host_key,
        image_digest=reported.image_digest or instance.image_digest,
        onstart_exit_code=reported.onstart_exit_code,
    )
    if reported.status == "running":
        running = known.become(InstanceStatus.RUNNING, reported.reason)
        running = replace(running, started_at=reported.started_at)
        return _enter(book, contract_id, instance, running, now, "running")
    if reported.status == "loading":
        loading = replace(known.become(InstanceStatus.LOADING, reported.reason), progress=reported.progress)
        return _enter(book, contract_id, instance, loading, now, "loading")
    if reported.status == "failed" and book.contract(contract_id).status is ContractStatus.PENDING:
        renumbered = renumber(book, contract_id, instance, now)
        if renumbered is not None:
            return renumbered
        reason = reported.reason or "The host could not start the container."
        return fail(book, contract_id, reason, now, Cause(HOST, "could not start"))
    if reported.status in GONE and not report.holds_gpu(instance.id):
        return _learn_self_ended(book, contract_id, known, reported, now)
    return book


def _learn_self_ended(
    book: Book, contract_id: ContractId, instance: Instance, reported: ReportedInstance, now: int
) -> Book:
    """It ended without being told: from now on it is wanted stopped, and its GPUs return."""
    exited = reported.status == "exited"
    after = InstanceStatus.EXITED if exited else InstanceStatus.STOPPED
    reason = reported.reason or f"The host reports the container {reported.status}."
    ended = instance.want(Desired.STOPPED, now).become(after, reason)
    ended = replace(ended, token=None, exit_code=reported.exit_code)
    book = book.with_manifest(return_lease(book.manifest, instance.id))
    book = _enter(book, contract_id, instance, ended, now, reported.status)
    return book.ring(contract_id, ended)


def _learn_gone(
    book: Book,
    contract_id: ContractId,
    instance: Instance,
    reported: ReportedInstance,
    report: Report,
    now: int,
) -> Book:
    """Its GPUs return once it has stopped, also where the host still has files of it to remove."""
    if reported.status not in GONE or report.holds_gpu(instance.id) or instance.is_removed:
        return book
    reason = instance.reason
    if instance.desired is Desired.ABSENT:
        is_absent = reported.status == "absent"
        after, reason = (InstanceStatus.REMOVED, reason) if is_absent else (InstanceStatus.STOPPED, reported.reason)
    else:
        keeps = instance.waits or instance.status is InstanceStatus.EXITED
        after = instance.status if keeps else InstanceStatus.STOPPED
    book = book.with_manifest(return_lease(book.manifest, instance.id))
    gone = replace(instance.become(after, reason), token=None)
    return _enter(book, contract_id, instance, gone, now, "confirmed")


def _enter(book: Book, contract_id: ContractId, before: Instance, after: Instance, now: int, cause: str) -> Book:
    if after == before:
        return book
    book = book.with_contract(book.contract(contract_id).with_instance(after))
    if after.status is before.status:
        return book
    return book.note(contract_id, after.status, now, Cause(HOST, cause), instance_id=after.id, reason=after.reason)


def _follow(book: Book, contract_id: ContractId, now: int) -> Book:
    """Let the contract follow its instances: provisioned, or wholly gone."""
    contract = book.contract(contract_id)
    if contract.status is ContractStatus.PENDING and _is_provisioned(contract):
        active = contract.become(ContractStatus.ACTIVE)
        return book.with_contract(active).note(contract_id, active.status, now, Cause(HOST, "provisioned"))
    if contract.status in REMOVING and contract.status is not ContractStatus.FAILED and contract.is_released:
        deleted = replace(contract.become(ContractStatus.DELETED, contract.reason), task_tokens={})
        return book.with_contract(deleted).note(contract_id, deleted.status, now, Cause(HOST, "everything is gone"))
    return book


def _note_heard(book: Book, before: Contract, now: int) -> Book:
    """A line for each instance that is what it was before the silence; what changed meanwhile has its own."""
    for each in book.contract(before.id).instances:
        if each.status is before.instance(each.id).status and not each.is_removed:
            cause = Cause(HOST, "heard again")
            book = book.note(before.id, each.status, now, cause, instance_id=each.id, reason=each.reason)
    return book


def _is_provisioned(contract: Contract) -> bool:
    return all(
        each.status in (InstanceStatus.RUNNING, InstanceStatus.EXITED, InstanceStatus.STOPPED)
        for each in contract.instances
    )
