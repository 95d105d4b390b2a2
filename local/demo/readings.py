"""Reads a container's limits from the kernel and from Docker, never from the service's own records."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import docker

CGROUP = Path("/sys/fs/cgroup")
V2_FILES = {
    "cpu_weight": "cpu.weight",
    "memory_baseline": "memory.low",
    "memory_limit": "memory.max",
    "pids": "pids.max",
}
V1_FILES = {
    "cpu_weight": ("cpu", "cpu.shares"),
    "memory_baseline": ("memory", "memory.soft_limit_in_bytes"),
    "memory_limit": ("memory", "memory.limit_in_bytes"),
    "pids": ("pids", "pids.max"),
}


@dataclass(frozen=True)
class Readings:
    """What the kernel enforces on one container; sizes in bytes. `cpu_cap` is "none" without one."""

    pid: int
    cpu_weight: int
    parent_cpu_weight: int
    cpu_cap: str
    memory_baseline: int
    memory_limit: int
    pids: int
    shm_bytes: int
    gpus: str
    hostname: str


def read_limits(docker_host: str, instance_id: int) -> Readings:
    """The limits of the instance's container, which runs."""
    client = docker.DockerClient(base_url=docker_host)
    container = client.containers.get(f"gpulease-{instance_id}")
    pid = int(container.attrs["State"]["Pid"])
    shm = os.statvfs(f"/proc/{pid}/root/dev/shm")
    environment = _environment(pid)
    return Readings(
        pid=pid,
        cpu_weight=_read(pid, "cpu_weight"),
        parent_cpu_weight=_read(pid, "cpu_weight", up=1),
        cpu_cap=_cpu_cap(pid),
        memory_baseline=_read(pid, "memory_baseline"),
        memory_limit=_read(pid, "memory_limit"),
        pids=_read(pid, "pids"),
        shm_bytes=shm.f_blocks * shm.f_frsize,
        gpus=environment.get("NVIDIA_VISIBLE_DEVICES", ""),
        hostname=environment.get("HOSTNAME", ""),
    )


def is_alive(pid: int) -> bool:
    """Whether the kernel still knows the process."""
    return Path(f"/proc/{pid}").exists()


def is_unified() -> bool:
    """Whether this machine has cgroup v2 alone."""
    return (CGROUP / "cgroup.controllers").exists()


def _read(pid: int, what: str, up: int = 0) -> int:
    if is_unified():
        file = _group(pid, "", up) / V2_FILES[what]
    else:
        controller, name = V1_FILES[what]
        file = _group(pid, controller, up) / name
    return int(file.read_text())


def _cpu_cap(pid: int) -> str:
    if is_unified():
        quota = (_group(pid, "", 0) / "cpu.max").read_text().split()[0]
        return "none" if quota == "max" else quota
    quota = (_group(pid, "cpu", 0) / "cpu.cfs_quota_us").read_text().strip()
    return "none" if quota == "-1" else quota


def _group(pid: int, controller: str, up: int) -> Path:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            group = CGROUP / controller / path.lstrip("/")
            return group.parents[up - 1] if up else group
    raise FileNotFoundError(f"process {pid} is in no {controller or 'unified'} cgroup")


def _environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
