"""What a failed start says to the client, and to this host's owner where the host is at fault: sentences of our own.

What Docker, its runtime or the kernel said goes along as `details`, for the host's log.
"""

from __future__ import annotations

import re

from gpulease_host.docker_engine.docker_api import RefusedError
from gpulease_host.docker_engine.networks import NetworkPoolError
from gpulease_host.docker_engine.start_causes import Cause, cause_of, is_of_program, program_of, unquoted
from gpulease_host.docker_engine.ways_in import WayInError
from gpulease_host.engine import (
    DiskError,
    EngineError,
    EngineUnavailableError,
    HostFaultError,
    ImageMissingError,
    LimitsError,
    NotStartedError,
    Order,
    OvertakenError,
    PortTakenError,
    StuckError,
)

# What the kernel says to Docker, and what Docker says by itself of a port of another container.
PORT_TAKEN = ("address already in use", "port is already allocated")
LIMITS = Cause("limits_refused", "host", (), "the kernel does not take its limits", "Restart Docker.")
POOL = Cause(
    "network_pool_used_up",
    "host",
    (),
    "no network is left for it",
    "Set GPULEASE_ADDRESS_POOL to a range that is free.",
)
WAY_IN = Cause(
    "way_in_not_made",
    "host",
    (),
    "its keys and files cannot be made",
    "Look whether the disk of /var/lib/gpulease is full.",
)
OWN_STEP = Cause(
    "host_step_failed",
    "host",
    (),
    "a step of the host's own failed",
    "What failed stands in the log: journalctl -u gpulease-host",
)
PREPARING = Cause(
    "host_not_prepared",
    "host",
    (),
    "its firewall rules or control groups cannot be set",
    "What failed stands in the log: journalctl -u gpulease-host",
)
DISK = Cause("disk_refused", "host", (), "its disk cannot be set up", "Look at the file system of Docker's data.")
NOT_PREPARED = (
    "This host cannot set its firewall rules or control groups now, and tries again (host_not_prepared). Its log says "
    "what failed: journalctl -u gpulease-host"
)
UNKNOWN = (
    "It could not be started, and this host does not know why (start_failed): try again, or choose another offer. Its "
    "owner finds what Docker said in the log (journalctl -u gpulease-host)."
)


def explained(order: Order, error: EngineError) -> EngineError:
    """What a failed start says to the client, and to this host's owner where the host is at fault."""
    match error:
        case ImageMissingError() | EngineUnavailableError() | OvertakenError() | NotStartedError() | StuckError():
            return error
        case LimitsError():
            return host_fault(error, LIMITS)
        case DiskError():
            return host_fault(error, DISK)
        case NetworkPoolError():
            return host_fault(error, POOL)
        case WayInError():
            return host_fault(error, WAY_IN)
    if not isinstance(error, RefusedError):
        return host_fault(error, OWN_STEP)
    said = str(error)
    if not is_of_program(said) and any(words in unquoted(said) for words in PORT_TAKEN):
        return _port_taken(order, said)
    cause = cause_of(said)
    if cause is None:
        return NotStartedError(UNKNOWN, details=said)
    if cause.whose == "client":
        what = cause.what.replace("the program", f"the program {program_of(said)}".rstrip(), 1)
        return NotStartedError(
            f"It could not be started, because {what}: {cause.remedy} ({cause.code}).", cause.code, said
        )
    if cause.whose == "passing":
        return EngineUnavailableError(f"It could not be started yet, because {cause.what}: {cause.remedy}.", said)
    return host_fault(error, cause)


def host_fault(error: EngineError, cause: Cause) -> HostFaultError:
    return HostFaultError(
        f"It could not be started, because {cause.what}. That is this host's doing: choose another offer "
        f"({cause.code}).",
        cause.code,
        f"Containers do not start here, because {cause.what} ({cause.code}). {cause.remedy}",
        of_gpus=cause.whose == "gpus",
        details=error.for_log,
    )


def _port_taken(order: Order, said: str) -> PortTakenError:
    published = tuple(port for port in order.ports if port.host is not None)
    named = tuple(port for port in published if re.search(rf":{port.host}\b", said)) or published
    ports = " or ".join(f"{port.host}/{port.protocol}" for port in named)
    sentence = f"Port {ports} of the host is in use by something that is not of this contract (port_taken)."
    return PortTakenError(sentence, named, said)
