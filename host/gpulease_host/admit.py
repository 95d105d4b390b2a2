"""Whether an order is taken: generations and tokens only rise, and a late order is no order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpulease_host.engine import Order
from gpulease_host.records import Fence, Record, Status


@dataclass(frozen=True)
class Taken:
    """A newer generation: it replaces what was wanted."""

    record: Record
    fences: Mapping[str, Fence]
    reason: str


@dataclass(frozen=True)
class Again:
    """The same generation once more: what is, is said again."""

    record: Record
    reason: str


@dataclass(frozen=True)
class Refused:
    reason: str


Admission = Taken | Again | Refused


def admit(
    order: Order,
    record: Record | None,
    fences: Mapping[str, Fence],
    now: float,
    not_after: int | None,
) -> Admission:
    """`not_after` is the command's; None when the order stands in the manifest, which is never late.

    An order for a GPU that is gone is taken too, and then fails: a refusal would reach nobody.
    """
    if not_after is not None and now > not_after:
        return Refused("The order came too late: its not_after has passed.")
    if record is not None:
        if record.order.contract_id != order.contract_id:
            return Refused(f"The instance belongs to contract {record.order.contract_id} here.")
        if order.generation < record.order.generation:
            return Refused(f"Generation {order.generation} is older than {record.order.generation}, seen before.")
        if order.generation == record.order.generation:
            return Again(_ask_again(record, now, not_after), "This generation was seen before.")
    if order.desired == "running":
        refusal = _why_fenced(order, fences)
        if refusal is not None:
            return Refused(refusal)
    return Taken(_take(order, record, not_after), _raised(order, fences), "A newer generation.")


def fenced_by(order: Order, fences: Mapping[str, Fence]) -> int | None:
    """The highest token on the order's GPUs, when it is higher than the order's own."""
    if order.token is None:
        return None
    highest = max((fences[gpu.uuid].token for gpu in order.gpus if gpu.uuid in fences), default=0)
    return highest if highest > order.token else None


def _why_fenced(order: Order, fences: Mapping[str, Fence]) -> str | None:
    for gpu in order.gpus:
        fence = fences.get(gpu.uuid)
        if fence is None or order.token is None or order.token > fence.token:
            continue
        if order.token < fence.token or fence.instance_id != order.instance_id:
            return f"GPU {gpu.index} has seen token {fence.token}; token {order.token} is refused."
    return None


def _raised(order: Order, fences: Mapping[str, Fence]) -> dict[str, Fence]:
    if order.token is None:
        return {}
    mine = Fence(order.token, order.instance_id)
    return {gpu.uuid: mine for gpu in order.gpus if fences.get(gpu.uuid) != mine}


def _take(order: Order, record: Record | None, not_after: int | None) -> Record:
    status = _status_on_order(order, record)
    if record is None:
        return Record(order=order, status=status, not_after=not_after)
    taken = replace(record, order=order, not_after=not_after, status=status, held=None, tombstone_at=None)
    if status != record.status:
        taken = replace(taken, reason=None)
    if status == "loading":
        taken = replace(taken, exit_code=None, started_at=None)
    if order.token is not None and order.token != record.order.token:
        taken = replace(taken, fault=None)
    return taken


def _status_on_order(order: Order, record: Record | None) -> Status:
    """What an instance is in the moment it is wanted otherwise."""
    if order.desired == "running":
        keeps_lease = record is not None and record.token is not None and record.token == order.token
        return record.status if keeps_lease and record is not None else "loading"
    if record is None:
        return "stopping"
    if order.desired == "stopped":
        return "stopping" if record.status in ("running", "loading") else record.status
    return "absent" if record.status == "absent" else "stopping"


def _ask_again(record: Record, now: float, not_after: int | None) -> Record:
    again = replace(record, not_after=not_after)
    if record.held is not None:
        again = replace(again, held=None, status="loading", reason=None)
    if record.tombstone_at is not None:
        again = replace(again, tombstone_at=int(now))
    return again
