"""The machine as the daemon sees it: what it has, what runs on it, and in which run of machine and Docker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpulease_host.decide import Facts
from gpulease_host.docker_down import DockerDown
from gpulease_host.engine import NOBODY, WAYS_IN, Container, Engine, EngineError
from gpulease_host.ledger import Ledger
from gpulease_host.readiness import also_not_ready
from gpulease_host.records import Record
from gpulease_host.same_docker import SameDocker
from gpulease_host.start_faults import StartFaults
from gpulease_host.trusted_clock import BOOT_ID, TrustedClock

NOT_TRIED = "It has started; whether it lets people in is about to be tried."
DOCKER_PIDS = (Path("/run/docker.pid"), Path("/var/run/docker.pid"))


def read_run_id(docker_socket: Path, boot_id: Path = BOOT_ID, docker_pids: Sequence[Path] = DOCKER_PIDS) -> str:
    """Another after each start of the machine or of Docker: either may have ended containers against their will.

    A Docker that is started by hand makes its socket anew; one that systemd starts keeps it, but has a pid file.
    """
    marks = [boot_id.read_text().strip()]
    for path in (docker_socket, *docker_pids):
        try:
            status = path.stat()
        except OSError:
            continue
        marks.append(f"{status.st_ino}@{status.st_ctime_ns}")
    return "/".join(marks)


class World:
    """Containers and inventory, as last seen. `read_run` is asked anew each time."""

    def __init__(
        self,
        engine: Engine,
        inventory: Mapping[str, Any],
        read_run: Callable[[], str],
        clock: TrustedClock,
        docker: SameDocker,
        docker_down: DockerDown,
        start_faults: StartFaults,
    ) -> None:
        self.docker = docker
        self.start_faults = start_faults
        self.docker_down = docker_down
        self._inventory = inventory
        self._engine = engine
        self._read_run = read_run
        self._clock = clock
        self._lock = threading.Lock()
        self._containers: tuple[Container, ...] = ()
        self._disk_used_bytes: dict[int, int | None] = {}
        self._tried: dict[int, tuple[str | None, str | None]] = {}

    @property
    def inventory(self) -> Mapping[str, Any]:
        """What is wrong with Docker's data or the clock makes the host unfit as well.

        The disk that tenants may have is that of Docker's own data, also while another one lies in its place.
        """
        inventory = also_not_ready(self._inventory, self.faults())
        disk_bytes = self.docker.known_disk_bytes
        if self.docker.fault is None or disk_bytes is None:
            return inventory
        return {**inventory, "disk_bytes": disk_bytes}

    def faults(self) -> list[str]:
        found = (
            self.docker_down.fault,
            self.docker.fault,
            self._clock.why_not_right(),
            self.start_faults.of_host,
        )
        return [each for each in found if each is not None]

    @property
    def gpu_uuids(self) -> frozenset[str]:
        return frozenset(gpu["uuid"] for gpu in self._inventory["gpus"])

    @property
    def run_id(self) -> str:
        return self._read_run()

    @property
    def last_seen(self) -> tuple[Container, ...]:
        with self._lock:
            return self._containers

    @property
    def disk_used_bytes(self) -> Mapping[int, int | None]:
        with self._lock:
            return dict(self._disk_used_bytes)

    def containers(self, of: int | None = None) -> tuple[Container, ...]:
        """Look again, closely at all or at one. Raises EngineError, also where what is absent would prove nothing."""
        self.docker.check()
        containers = tuple(self._engine.containers(of))
        self.docker.check()  # it may be another one by now
        with self._lock:
            before = {each.instance_id: each for each in self._containers}
            self._containers = tuple(
                each if of in (None, each.instance_id) else _closer(before.get(each.instance_id), each)
                for each in containers
            )
        return containers

    def running(self) -> tuple[Container, ...]:
        """What is seen running now, also by a Docker without its data: enough to stop it. Raises EngineError."""
        return tuple(each for each in self._engine.containers(NOBODY) if each.status == "running")

    def facts(self, record: Record, ledger: Ledger, containers: tuple[Container, ...]) -> Facts:
        """What `decide` needs to know of one instance."""
        instance_id = record.order.instance_id
        run_id = self.run_id
        container = next((each for each in containers if each.instance_id == instance_id), None)
        return Facts(
            container=container,
            now=self._clock(),
            run_id=run_id,
            confirmed=ledger.is_confirmed(instance_id, run_id),
            fenced_by=ledger.fenced_by(record),
            is_time_known=self._clock.is_confirmed,
            not_reached=self._why_not_reached(record, container),
        )

    def try_way_in(self, record: Record, containers: tuple[Container, ...]) -> None:
        """Once a run of the container it is reached, it stays so. Takes seconds, so only workers do it."""
        instance_id = record.order.instance_id
        container = next((each for each in containers if each.instance_id == instance_id), None)
        if self._why_not_reached(record, container) is not None and container is not None:
            self._tried[instance_id] = (container.run, self._engine.why_not_reached(record.order))

    def _why_not_reached(self, record: Record, container: Container | None) -> str | None:
        order = record.order
        if container is None or container.status != "running" or order.desired != "running":
            return None
        if container.hangs is not None:
            return None
        if order.mode not in WAYS_IN or record.status == "running":
            return None
        run, reason = self._tried.get(order.instance_id, (None, None))
        return reason if run == container.run else NOT_TRIED

    def ssh_host_key(self, record: Record) -> str | None:
        """Read each time: a start that broke off takes its files along, and the next one makes others."""
        return self._engine.ssh_host_key(record.order.instance_id) if record.order.mode in WAYS_IN else None

    def refresh_inventory(self) -> None:
        """Read again what this machine has and can serve; what is slow to read, the engine keeps for a while.

        What cannot be read stays as it was.
        """
        with suppress(EngineError):
            self._inventory = self._engine.inventory()
            self.docker.check()  # the disk of another Docker's data is not what was promised from
            self.docker.note_disk(self._inventory["disk_bytes"])

    def refresh(self) -> None:
        """Read again what changes slowly: disk use. What cannot be read stays as it was."""
        before, used = self.disk_used_bytes, dict[int, int | None]()
        for instance_id in (each.instance_id for each in self.last_seen):
            try:
                used[instance_id] = self._engine.disk_used_bytes(instance_id)
            except EngineError:
                used[instance_id] = before.get(instance_id)
        with self._lock:
            self._disk_used_bytes = used


def _closer(before: Container | None, glance: Container) -> Container:
    """What a closer look told, while a glance shows no other."""
    if before is None or (before.status, before.address) != (glance.status, glance.address):
        return glance
    return before
