"""What these tests need of a real Docker Engine: orders for a small group of tenants, and readings of the kernel."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import docker

from gpulease_host.docker_engine import DockerEngine
from gpulease_host.docker_engine.networks import network_name
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import Container, Limits, Order, OrderedGpu, PullWatch, Secrets
from gpulease_host.inventory import GpuSource
from local.images import BUSYBOX

MIB = 1 << 20
GROUP_ROOT = Path("/sys/fs/cgroup")
# Ids of these tests: far from those of a service on the same Docker.
IDS = count(time.time_ns() // 1_000_000 % 10**9 * 1000)
SMALL = Limits("1/4", 250, 100 * MIB, 400 * MIB, 64 * MIB, 64, 64 * MIB, 250)


@dataclass
class Bench:
    """One host on a real Docker, under a tenants' group of its own."""

    engine: DockerEngine
    docker_host: str
    client: Any
    gpus: GpuSource
    made: list[Order] = field(default_factory=list)

    def order(self, limits: Limits = SMALL, *, contract_id: int | None = None, gpu: int = 0, **changes: Any) -> Order:
        instance_id = next(IDS)
        uuid = self.gpus.gpus()[gpu].uuid
        order = Order(
            contract_id=contract_id or instance_id,
            instance_id=instance_id,
            generation=1,
            desired="running",
            token=1,
            end_at=0,
            delete_after=0,
            image=BUSYBOX,
            mode="args",
            ports=(),
            gpus=(OrderedGpu(gpu, uuid),),
            limits=limits,
        )
        return replace(order, **changes)

    def start(self, order: Order, *args: str, **secrets: Any) -> str:
        """Start it, and answer the container's id."""
        self.made.append(order)
        given = Secrets(args=list(args) or None, **secrets)
        self.engine.pull(order, given, PullWatch(lambda: True, lambda _sentence, _progress: None))
        self.engine.start(order, given)
        return self.docker_id(order)

    def run(self, *args: str, limits: Limits = SMALL, **changes: Any) -> Order:
        order = self.order(limits, **changes)
        self.start(order, *args)
        return order

    def sh(self, order: Order, script: str) -> tuple[int, str]:
        """Run a script in the container; its exit status and what it printed."""
        made = self.client.exec_create(name_of(order), ["sh", "-c", script])
        output = self.client.exec_start(made["Id"]).decode()
        return int(self.client.exec_inspect(made["Id"])["ExitCode"]), output

    def seen(self, order: Order) -> Container:
        return next(found for found in self.engine.containers() if found.instance_id == order.instance_id)

    def exited(self, order: Order) -> Container:
        wait_until(lambda: self.seen(order).status == "exited", 20)
        return self.seen(order)

    def docker_id(self, order: Order) -> str:
        """Docker's own id of the container."""
        return str(self.client.inspect_container(name_of(order))["Id"])

    @property
    def group(self) -> str:
        """The tenants' group, by its path from the root."""
        return self.tenants.name

    @property
    def tenants(self) -> TenantsGroup:
        return self.engine._tenants

    def group_of(self, order: Order) -> str:
        return self.tenants.of_container(self.docker_id(order))

    def read(self, order: Order, v1: str, v2: str) -> str:
        """A kernel file of the container's group: `controller/file` in v1, `file` in v2."""
        return read_group(self.group_of(order), v1, v2)

    def oom_kills(self, order: Order) -> int:
        text = self.read(order, "memory/memory.oom_control", "memory.events.local")
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def pids(self, order: Order) -> list[int]:
        """Of its control group; none when that is gone."""
        try:
            return [int(pid) for pid in self.read(order, "memory/cgroup.procs", "cgroup.procs").split()]
        except FileNotFoundError:
            return []

    def clear(self) -> None:
        for order in self.made:
            self.engine.remove(order.contract_id, order.instance_id)
        self.made.clear()

    def leftovers(self, order: Order) -> list[str]:
        """Whatever of the order is still on the machine."""
        network = network_name(order.contract_id)
        names = [str(found["Name"]) for found in self.client.networks(names=[network])]
        names += [str(found["Names"]) for found in self.client.containers(all=True, filters={"name": name_of(order)})]
        return names + ([network] if Path(f"/sys/class/net/{network}").exists() else [])


def read_group(group: str, v1: str, v2: str) -> str:
    if (GROUP_ROOT / "cgroup.controllers").exists():
        return (GROUP_ROOT / group / v2).read_text().strip()
    controller, _, file = v1.partition("/")
    return (GROUP_ROOT / controller / group / file).read_text().strip()


def cpu_seconds(group: str) -> float:
    text = read_group(group, "cpuacct/cpuacct.usage", "cpu.stat")
    return int(text) / 1e9 if text.isdigit() else int(text.split()[1]) / 1e6


def name_of(order: Order) -> str:
    return f"gpulease-{order.instance_id}"


def client_of(docker_host: str) -> Any:
    return docker.APIClient(base_url=docker_host, version="auto")


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def run_program(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def start_private(state: Path) -> str:
    """A dockerd of our own in a network namespace: two in one would flush each other's rules."""
    socket = state / "docker.sock"
    command = [sys.executable, "-m", "local.dockerd", "start", "--state", str(state), "--socket", str(socket)]
    subprocess.run(["unshare", "--net", *command], check=True, stdout=subprocess.DEVNULL)
    return f"unix://{socket}"
