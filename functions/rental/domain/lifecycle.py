"""The life of a contract and of an instance, as tables. Nothing else may change a status.

contract
                ┌──────────────────────────── extended by the host, within the grace
                ▼                         │
pending ──► active ──── end_at ───► expired ──── delete_after ───► deleting ──► deleted
   │          │                        │                                           ▲
   │          └────────┐      ┌────────┘                                           │
   │                   ▼      ▼                                                    │
   ├──── client ──►  ending (irreversible) ────────────────────────────────────────┘
   └──► failed (could not be provisioned; what was held returns on the host's word)

instance
creating ──► loading ──► running ──► stopping ──► stopped ──► loading (started again)
                │           │                        │  ▲
                └───────────┴──► exited              ▼  │
any ──► removed (the host's word, or its end)     scheduling (waits for its GPUs)
any of a silent host ──► offline ──► what the host says when it is back

A host that is given up takes its contracts along these arrows to their end, without its word: see `retiring.py`.
"""

from enum import StrEnum

from rental.domain.errors import TransitionError


class ContractStatus(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"
    ENDING = "ending"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"


class InstanceStatus(StrEnum):
    CREATING = "creating"
    LOADING = "loading"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SCHEDULING = "scheduling"
    EXITED = "exited"
    OFFLINE = "offline"
    REMOVED = "removed"


class Desired(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"


_C = ContractStatus
_I = InstanceStatus

CONTRACT_TRANSITIONS: dict[ContractStatus, frozenset[ContractStatus]] = {
    _C.PENDING: frozenset({_C.ACTIVE, _C.FAILED, _C.ENDING}),
    _C.ACTIVE: frozenset({_C.EXPIRED, _C.ENDING}),
    _C.EXPIRED: frozenset({_C.ACTIVE, _C.DELETING, _C.ENDING}),
    _C.ENDING: frozenset({_C.DELETED}),
    _C.DELETING: frozenset({_C.DELETED}),
    _C.DELETED: frozenset(),
    _C.FAILED: frozenset(),
}

INSTANCE_TRANSITIONS: dict[InstanceStatus, frozenset[InstanceStatus]] = {
    _I.CREATING: frozenset({_I.LOADING, _I.RUNNING, _I.EXITED, _I.STOPPING, _I.STOPPED, _I.OFFLINE, _I.REMOVED}),
    _I.LOADING: frozenset({_I.RUNNING, _I.EXITED, _I.STOPPING, _I.STOPPED, _I.OFFLINE, _I.REMOVED}),
    _I.RUNNING: frozenset({_I.LOADING, _I.EXITED, _I.STOPPING, _I.STOPPED, _I.OFFLINE, _I.REMOVED}),
    _I.STOPPING: frozenset({_I.STOPPED, _I.EXITED, _I.LOADING, _I.SCHEDULING, _I.OFFLINE, _I.REMOVED}),
    _I.STOPPED: frozenset({_I.LOADING, _I.SCHEDULING, _I.OFFLINE, _I.REMOVED}),
    _I.SCHEDULING: frozenset({_I.LOADING, _I.STOPPING, _I.STOPPED, _I.OFFLINE, _I.REMOVED}),
    _I.EXITED: frozenset({_I.LOADING, _I.SCHEDULING, _I.STOPPING, _I.STOPPED, _I.OFFLINE, _I.REMOVED}),
    _I.OFFLINE: frozenset(set(_I) - {_I.OFFLINE}),
    _I.REMOVED: frozenset(),
}

LIVE = frozenset({_C.PENDING, _C.ACTIVE, _C.EXPIRED})
"""A client may still end these early."""

IDLE = frozenset({_I.STOPPED, _I.EXITED, _I.REMOVED})
"""No container runs in these."""

REMOVING = frozenset({_C.ENDING, _C.DELETING, _C.FAILED})
"""The containers of these are wanted absent, for good."""


def check_contract_transition(before: ContractStatus, after: ContractStatus) -> None:
    """Raises TransitionError where the table has no arrow."""
    if after not in CONTRACT_TRANSITIONS[before]:
        raise TransitionError(f"a contract cannot go from {before} to {after}")


def check_instance_transition(before: InstanceStatus, after: InstanceStatus) -> None:
    """Raises TransitionError where the table has no arrow; staying is always allowed."""
    if before is not after and after not in INSTANCE_TRANSITIONS[before]:
        raise TransitionError(f"an instance cannot go from {before} to {after}")
