"""What this machine offers: its GPUs, and what of its memory and disk tenants may have.

GPUs come from a source: `NvmlGpus` where there is a driver, `SimulatedGpus` where there is none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gpulease_host.engine import GpuCheck

GIB = 1 << 30
MIB = 1 << 20
MEMORY_RESERVE_BYTES = 2 * GIB
DISK_RESERVE_BYTES = 2 * GIB


@dataclass(frozen=True)
class Gpu:
    index: int
    uuid: str
    name: str
    memory_bytes: int
    minor: int | None = None
    """Its number among device nodes, which is not its index; a simulated one has none."""


class GpuSource(Protocol):
    @property
    def simulated(self) -> bool: ...

    def gpus(self) -> Sequence[Gpu]: ...

    def driver_version(self) -> str | None: ...

    def fault(self) -> str | None:
        """Why none of them can be given to a container now, in a sentence."""
        ...

    def checks(self) -> Sequence[GpuCheck]:
        """What the driver says of each GPU; which containers hold them is the engine's to know."""
        ...


@dataclass(frozen=True)
class DockerFacts:
    """What Docker says of this machine, as far as the inventory needs it."""

    docker_version: str
    cgroup_version: int
    disk_enforced: bool
    unenforced: tuple[str, ...]


def describe(source: GpuSource, facts: DockerFacts, *, memory_bytes: int, disk_bytes: int) -> dict[str, Any]:
    """The inventory in its wire shape. A driver that does not answer leaves the rest of the machine as it is."""
    return {
        **describe_gpus(source),
        "simulated": source.simulated,
        "cpus": os.cpu_count() or 1,
        "memory_bytes": memory_bytes,
        "disk_bytes": disk_bytes,
        "disk_enforced": facts.disk_enforced,
        "unenforced": list(facts.unenforced),
        "docker_version": facts.docker_version,
        "cgroup_version": facts.cgroup_version,
        "hostname": socket.gethostname(),
    }


def describe_gpus(source: GpuSource) -> dict[str, Any]:
    """What of the inventory changes when the driver answers again."""
    gpus = [
        {"index": gpu.index, "uuid": gpu.uuid, "name": gpu.name, "memory_bytes": gpu.memory_bytes}
        for gpu in source.gpus()
    ]
    return {"gpus": gpus, "driver_version": source.driver_version()}


def memory_for_tenants_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """RAM less a reserve for the host itself: a tenth, at least 2 GiB, at most half; in whole MiB."""
    lines = meminfo.read_text().splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    return (total - min(max(MEMORY_RESERVE_BYTES, total // 10), total // 2)) // MIB * MIB


def disk_for_tenants_bytes(free_bytes: int, used_by_tenants_bytes: int, reserve_bytes: int | None = None) -> int:
    """What tenants hold and what is free, less a reserve for images: a tenth, at least 2 GiB, at most half.

    In whole GiB, so that it stands still while tenants write.
    """
    total = free_bytes + used_by_tenants_bytes
    if reserve_bytes is None:
        reserve_bytes = min(max(DISK_RESERVE_BYTES, total // 10), total // 2)
    return max(0, total - reserve_bytes) // GIB * GIB
