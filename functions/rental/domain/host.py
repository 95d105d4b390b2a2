"""A host: a registered machine, its owner, its keys and what it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rental.domain.errors import HostRetiredError
from rental.domain.ids import HostId


class HostStatus(StrEnum):
    REGISTERING = "registering"
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    """Its reports and requests are refused; `reason` says why."""
    LOST = "lost"
    """Its owner has given it up, for good."""
    REVOKED = "revoked"
    """Its machine key has been revoked, for good."""


RETIRED = frozenset({HostStatus.LOST, HostStatus.REVOKED})
"""Never heard again: the machine comes back under a new id, if at all."""


@dataclass(frozen=True)
class Gpu:
    index: int
    uuid: str
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Inventory:
    """What a machine says it gives to tenants; sizes in bytes, already less the machine's own reserve."""

    gpus: tuple[Gpu, ...]
    simulated: bool
    cpus: int
    memory_bytes: int
    disk_bytes: int
    disk_enforced: bool
    unenforced: tuple[str, ...]
    driver_version: str | None
    docker_version: str
    cgroup_version: int
    hostname: str


@dataclass(frozen=True)
class MachineKey:
    """The public halves of a machine key, base64url: Ed25519 to sign, X25519 to seal to."""

    key_id: str
    signing_key: str
    sealing_key: str


@dataclass(frozen=True)
class Host:
    """The registration of a machine. `node_id` is what SSM calls it; only SSM's word sets it."""

    id: HostId
    owner: str
    label: str
    status: HostStatus
    created_at: int
    registration_sha256: str
    registration_expires_at: int
    activation_id: str
    node_id: str | None = None
    machine_key: MachineKey | None = None
    inventory: Inventory | None = None
    tunnel_key: str | None = None
    """Fingerprint of the key with which it logs in to proxies."""
    reason: str | None = None
    rev: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def is_retired(self) -> bool:
        return self.status in RETIRED

    @property
    def why(self) -> str | None:
        """Why the host is not active, in a sentence; None while it is."""
        if self.status is HostStatus.REGISTERING:
            return "Its machine has not registered yet. Run the install command on it within the hour."
        return self.reason


def check_not_retired(host: Host) -> None:
    """Raises HostRetiredError, which tells a machine that it is this host no more."""
    if host.is_retired:
        raise HostRetiredError(f"{host.reason} End everything of it, then register the machine as a new host.")
