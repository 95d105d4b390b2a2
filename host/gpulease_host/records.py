"""What the host remembers of each instance; the journal keeps it, the report is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gpulease_host.engine import Order
from gpulease_host.wire import order_to_wire, parse_order

Status = Literal["loading", "running", "stopping", "stopped", "exited", "absent", "failed"]

HOLDING: frozenset[Status] = frozenset({"loading", "running", "stopping"})
"""An instance in one of these may have its hands on its GPUs."""


@dataclass(frozen=True)
class Record:
    """One instance: what is wanted of it, and what has become of that."""

    order: Order
    status: Status
    not_after: int | None = None
    """Past this the order may not start anything; None when the manifest named it."""
    applied: int = 0
    """The highest generation whose wanted state was reached, or failed."""
    reason: str | None = None
    exit_code: int | None = None
    started_at: int | None = None
    token: int | None = None
    """The lease its container was last begun under; None once this host has stopped it."""
    begun_over: str | None = None
    """The container's last run when the start under `token` was begun: another one since then is that start's."""
    begun: bool = False
    """Whether the engine said that the start under `token` succeeded."""
    run_id: str | None = None
    """The run of the machine and of Docker in which it was last seen running."""
    held: str | None = None
    """Why nothing starts until the order is given again."""
    fault: str | None = None
    """Why this host ended the lease by itself, as a disk overrun."""
    overrun_bytes: int | None = None
    """What it used when it was ended for that; None once it has run a while with less than it may use."""
    tombstone_at: int | None = None
    image_digest: str | None = None
    onstart_exit_code: int | None = None
    keys_revision: int = 0
    """Of the order whose ssh keys it was begun with, or was given since."""

    @property
    def is_failed(self) -> bool:
        return self.status == "failed" and self.applied == self.order.generation

    def ended(self) -> Record:
        """After this host has stopped the container: no start under the old lease counts any more."""
        return replace(self, token=None, begun_over=None, begun=False)


@dataclass(frozen=True)
class KnownDocker:
    """The Docker that this host works on: its mark in the data root, and the disk that tenants may have of it."""

    mark: str
    disk_bytes: int | None = None
    leftovers: tuple[str, ...] = ()
    """Containers in its data root that it does not load, and that the machine's owner knows of."""


@dataclass(frozen=True)
class Fence:
    """The highest token a GPU has seen, and whose it was."""

    token: int
    instance_id: int


_PLAIN = (
    "status",
    "not_after",
    "applied",
    "reason",
    "exit_code",
    "started_at",
    "token",
    "begun_over",
    "begun",
    "run_id",
    "held",
    "fault",
    "overrun_bytes",
    "tombstone_at",
    "image_digest",
    "onstart_exit_code",
    "keys_revision",
)


def record_to_json(record: Record) -> dict[str, Any]:
    return {"order": order_to_wire(record.order), **{name: getattr(record, name) for name in _PLAIN}}


def record_from_json(value: Mapping[str, Any]) -> Record:
    """Fields that an older host program did not write have their defaults."""
    return Record(order=parse_order(value["order"]), **{name: value[name] for name in _PLAIN if name in value})
