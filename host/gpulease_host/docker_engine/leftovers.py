"""What a host leaves in Docker and in the kernel when it goes, and its removal.

Firewall chains and the tenants' control group belong to all hosts of a machine: they go with the last one.
"""

from __future__ import annotations

import fcntl
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.container_config import HOST_LABEL
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.engine import PARENT_GROUP, DockerEngine
from gpulease_host.docker_engine.firewall import LOCK, remove_rules
from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.iptables import V4, V6, Run, run_program, variants_in_use
from gpulease_host.docker_engine.networks import LOCK as NETWORKS_LOCK
from gpulease_host.docker_engine.networks import PREFIX
from gpulease_host.docker_engine.tenants_group import SYSTEMCTL_TIMEOUT_S
from gpulease_host.engine import Container


class DockerLeftovers:
    """Of one host; `memory` knows which images it pulled."""

    def __init__(self, engine: DockerEngine, api: DockerApi, memory: ImageMemory, run: Run = run_program) -> None:
        self._engine = engine
        self._api = api
        self._memory = memory
        self._run = run

    def containers(self) -> list[Container]:
        return self._engine.containers()

    def stop(self, instance_id: int, grace_s: int = 10) -> None:
        self._engine.stop(instance_id, grace_s)

    def remove(self, contract_id: int, instance_id: int) -> None:
        self._engine.remove(contract_id, instance_id)

    def remove_networks(self) -> None:
        self._engine.clear_trial()
        self._engine.remove_networks()

    def remove_images(self) -> int:
        """One that a container of the owner's has, stays: Docker refuses."""
        removed = 0
        for image in self._memory.unused_for(0):
            with suppress(RefusedError):
                self._api.remove_image(image)
                removed += 1
            self._memory.forget(image)
        return removed

    def remove_shared(self) -> bool:
        bridges = [name for _, name in socket.if_nameindex() if name.startswith(PREFIX)]
        if bridges or self._api.list_containers(HOST_LABEL) or has_daemon():
            return False
        remove_all_rules(self._run)
        _remove_group(PARENT_GROUP)
        for lock in (LOCK, NETWORKS_LOCK):
            lock.unlink(missing_ok=True)
        return True

    def remove_mark(self) -> None:
        self._engine.data_root.unmark()


def has_daemon(proc: Path = Path("/proc")) -> bool:
    """Whether any host's daemon runs on this machine: that of the one that leaves does not any more."""
    for path in proc.glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[-2:] == [b"daemon", b""] and any(word.endswith(b"/gpulease-host") for word in words):
                return True
    return False


def remove_all_rules(run: Run, lock: Path = LOCK) -> None:
    """In both variants of iptables."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for program in (f"{family.program}{variant}" for family in (V4, V6) for variant in variants_in_use(run)):
            remove_rules(run, program)


def _remove_group(name: str) -> None:
    if Path("/run/systemd/system").is_dir():
        forget_slice(f"{name}.slice")
    cgroups = Cgroups()
    for group in (f"{name}.slice", name):
        cgroups.remove(group)


def forget_slice(name: str) -> None:
    """Of systemd, with the limits that were set for as long as the machine is up. What it does not answer, stays."""
    for command in (["stop", name], ["revert", name]):
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["systemctl", *command], capture_output=True, timeout=SYSTEMCTL_TIMEOUT_S, check=False)
