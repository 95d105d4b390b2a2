"""Calls: what a client wants of an instance now and waits for, such as its logs or a command run in it.

A call changes nothing that is wanted, so it is no part of a contract: it lives for a minute beside it. What is asked is
sealed to the host, what is answered is sealed to whoever waits: neither can be read in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NewType

from rental.domain.contract import Contract, Instance, Sealed
from rental.domain.errors import ConflictError, HostOfflineError
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.domain.lifecycle import InstanceStatus
from rental.domain.running import check_may_run

CallId = NewType("CallId", str)
CALL_LIFE_S = 60
"""Nobody waits longer; what is older is answered to nobody."""
NO_CONTAINER = frozenset({InstanceStatus.CREATING, InstanceStatus.REMOVED})


class CallKind(StrEnum):
    EXEC = "exec"
    LOGS = "logs"


@dataclass(frozen=True)
class Call:
    """`sealed` is what is asked, sealed to the machine key; `reply` what came back, sealed to `reply_key`."""

    id: CallId
    host_id: HostId
    contract_id: ContractId
    instance_id: InstanceId
    kind: CallKind
    sealed: Sealed = field(repr=False)
    reply_key: str
    expires_at: int
    reply: str | None = field(default=None, repr=False)
    rev: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class CommandResult:
    """`exit_code` None: it was killed for taking too long."""

    exit_code: int | None
    stdout: str
    stderr: str
    truncated: bool


@dataclass(frozen=True)
class LogLine:
    at: str
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class LogPage:
    """Oldest first; `next` is the cursor of what comes after."""

    items: tuple[LogLine, ...]
    next: str | None


def check_may_exec(contract: Contract, instance: Instance, now: int) -> None:
    """A command needs a container that runs. Raises ConflictError or one of its kind."""
    check_may_run(contract, now)
    _check_in_reach(contract)
    if instance.status is not InstanceStatus.RUNNING:
        raise ConflictError(f"The instance is {instance.status}: a command can be run only while it is running.")


def check_may_read_logs(contract: Contract, instance: Instance) -> None:
    """Logs can be read as long as there is a container. Raises ConflictError or one of its kind."""
    if instance.status in NO_CONTAINER or not contract.is_live:
        raise ConflictError("There is no container whose logs could be read.")
    _check_in_reach(contract)


def _check_in_reach(contract: Contract) -> None:
    if contract.offline_since is not None:
        raise HostOfflineError("The host does not answer now. Try again once the instance is not offline any more.")
