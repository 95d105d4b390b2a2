"""The engine as daemon and registration get it: from a host's id, its kind of GPUs, and the environment."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.docker_checks import docker_checks
from gpulease_host.docker_engine.engine import ADDRESS_POOL, PUBLISH_ADDRESS, DockerEngine
from gpulease_host.docker_engine.firewall_checks import firewall_checks
from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.images import KEEP_S, PULL_TIMEOUT_S, ImageTerms
from gpulease_host.docker_engine.leftovers import DockerLeftovers
from gpulease_host.docker_engine.machine import Machine
from gpulease_host.docker_engine.ruleset_changes import RulesetChanges
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.inventory import GIB, GpuSource
from gpulease_host.inventory_nvml import NvmlGpus
from gpulease_host.inventory_simulated import SimulatedGpus
from gpulease_host.nvml_process import GIVE_UP_S, NvmlProcess
from gpulease_host.readiness import Readiness
from gpulease_host.settings import Settings, positive_number, toolkit_folder
from gpulease_host.toolkit.store import ToolkitStore
from gpulease_host.world import read_run_id

DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"
MACHINE_ID = Path("/etc/machine-id")
HOUR_S = 3600
FIRST_LOOK_S, REGISTRATION_LOOK_S = 20.0, 60.0
"""How long the first word on this machine waits for its checks. A daemon has ends to see to; a registration has not."""


@dataclass(frozen=True)
class EngineSettings:
    """`seed` tells the simulated GPUs of several hosts on one machine apart, and stays the same for each."""

    docker_host: str
    address_pool: str
    seed: str
    images_path: Path
    gpus_path: Path
    image_terms: ImageTerms
    image_reserve_bytes: int | None
    folder: Path
    toolkits: Path
    publish_address: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> EngineSettings:
        """Raises SettingsError, naming the variable."""
        machine = MACHINE_ID.read_text().strip() if MACHINE_ID.is_file() else socket.gethostname()
        reserve = "GPULEASE_IMAGE_RESERVE_GIB"
        return cls(
            docker_host=environment.get("DOCKER_HOST") or DEFAULT_DOCKER_HOST,
            address_pool=environment.get("GPULEASE_ADDRESS_POOL") or ADDRESS_POOL,
            seed=f"{machine}:{environment.get('GPULEASE_HOST_DIR', '')}",
            images_path=Settings.from_environment(environment).images_path,
            gpus_path=Settings.from_environment(environment).gpus_path,
            image_terms=ImageTerms(
                pull_timeout_s=positive_number(environment, "GPULEASE_PULL_TIMEOUT_S", PULL_TIMEOUT_S),
                keep_s=HOUR_S * positive_number(environment, "GPULEASE_IMAGE_KEEP_H", KEEP_S / HOUR_S),
            ),
            image_reserve_bytes=int(GIB * positive_number(environment, reserve)) if environment.get(reserve) else None,
            folder=Settings.from_environment(environment).folder.absolute(),
            toolkits=toolkit_folder(environment),
            publish_address=environment.get("GPULEASE_PUBLISH_ADDRESS") or PUBLISH_ADDRESS,
        )


def open_engine(host_id: int, simulate_gpus: int) -> DockerEngine:
    """Raises SettingsError, and at registration GpuDriverError when no GPU of the machine's own answers."""
    settings = EngineSettings.from_environment(os.environ)
    gpus = SimulatedGpus(simulate_gpus, settings.seed) if simulate_gpus else _own_gpus(settings, host_id)
    # At registration nothing is built: the program would end in the middle of it.
    ways_in = WaysIn(settings.folder, ToolkitStore(settings.toolkits), attends=bool(host_id))
    if host_id:
        ways_in.keeper.attend()  # so that the first rental need not wait for it
    return _engine(settings, host_id, gpus, ways_in)


def _own_gpus(settings: EngineSettings, host_id: int) -> GpuSource:
    """A host does its duties without a driver as well; a machine becomes one only with a GPU that works."""
    if host_id:
        return NvmlGpus(known_path=settings.gpus_path)
    gpus = NvmlGpus(NvmlProcess(wait_s=GIVE_UP_S).ask)
    gpus.check_answered()
    for sentence in gpus.left_out():
        print(sentence, file=sys.stderr)
    return gpus


def open_leftovers(host_id: int) -> DockerLeftovers:
    """What a host leaves: to remove it takes neither a driver nor a toolkit. Raises SettingsError."""
    settings = EngineSettings.from_environment(os.environ)
    ways_in = WaysIn(settings.folder, ToolkitStore(settings.toolkits))
    engine = _engine(settings, host_id, SimulatedGpus(1, settings.seed), ways_in)
    return DockerLeftovers(engine, DockerApi(settings.docker_host), ImageMemory(settings.images_path, time.time))


def _engine(settings: EngineSettings, host_id: int, gpus: GpuSource, ways_in: WaysIn) -> DockerEngine:
    return DockerEngine(
        settings.docker_host,
        host_id,
        gpus,
        ways_in,
        address_pool=settings.address_pool,
        publish_address=settings.publish_address,
        image_terms=settings.image_terms,
        image_reserve_bytes=settings.image_reserve_bytes,
        images_path=settings.images_path,
        known_path=settings.folder / "container-ids",
        fitness=_fitness(settings, FIRST_LOOK_S if host_id else REGISTRATION_LOOK_S),
    )


def _fitness(settings: EngineSettings, first_wait_s: float) -> Readiness:
    """All checks of this machine. It is looked at anew when it, Docker or the firewall was started or changed."""
    info = Machine(DockerApi(settings.docker_host)).info
    socket_file, changes = Path(settings.docker_host.removeprefix("unix://")), RulesetChanges()
    checks = [*docker_checks(info), *firewall_checks(info, settings.address_pool)]
    return Readiness(checks, lambda: (read_run_id(socket_file), changes.count()), first_wait_s=first_wait_s)
