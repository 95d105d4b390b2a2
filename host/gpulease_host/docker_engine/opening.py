"""The engine as daemon and registration get it: from a host's id, its kind of GPUs, and the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.docker_engine.engine import ADDRESS_POOL, DockerEngine
from gpulease_host.inventory import GpuSource
from gpulease_host.inventory_nvml import NvmlGpus
from gpulease_host.inventory_simulated import SimulatedGpus

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"
MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class EngineSettings:
    """`seed` tells the simulated GPUs of several hosts on one machine apart, and stays the same for each."""

    docker_host: str
    address_pool: str
    seed: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> EngineSettings:
        machine = MACHINE_ID.read_text().strip() if MACHINE_ID.is_file() else socket.gethostname()
        return cls(
            docker_host=environment.get("DOCKER_HOST") or DEFAULT_DOCKER_HOST,
            address_pool=environment.get("GPULEASE_ADDRESS_POOL") or ADDRESS_POOL,
            seed=f"{machine}:{environment.get('GPULEASE_HOST_DIR', '')}",
        )


def open_engine(host_id: int, simulate_gpus: int) -> DockerEngine:
    """Raises GpuDriverError when the machine's own GPUs are asked for and no driver answers."""
    settings = EngineSettings.from_environment(os.environ)
    gpus: GpuSource = SimulatedGpus(simulate_gpus, settings.seed) if simulate_gpus else NvmlGpus()
    return DockerEngine(settings.docker_host, host_id, gpus, address_pool=settings.address_pool)
