"""Instances in mode ssh or jupyter on a real Docker, with the toolkit that set-up built."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.engine import Limits, Order, Port, Secrets
from gpulease_host.launch.instance_files import InstanceFiles
from gpulease_host.toolkit import layout
from gpulease_host.toolkit.store import ToolkitStore
from local import toolkits
from local.ports import free_port
from tests.host.docker_engine.bench import MIB, Bench, wait_until
from tests.host.docker_engine.conftest import bench_on, docker_host
from tests.host.launch.notebook import Notebook
from tests.host.launch.visitor import Visitor
from tests.host.notary import Notary

__all__ = ["docker_host"]
ROOMY = Limits("1/4", 250, 256 * MIB, 400 * MIB, 64 * MIB, 256, 640 * MIB, 250)
TOKEN = "token-of-the-tests-0123456789"


@dataclass
class Place:
    """One instance, and how to get into it."""

    bench: Bench
    order: Order
    visitor: Visitor
    files: InstanceFiles
    secrets: Secrets = field(repr=False)
    reached_after_s: float = 0.0

    @property
    def notebook(self) -> Notebook:
        port = next(port.host for port in self.order.ports if port.container == layout.JUPYTER_PORT)
        assert port is not None
        certificate = self.files.certificate
        assert certificate is not None
        return Notebook(port, TOKEN, certificate)

    @property
    def log(self) -> str:
        return str(self.bench.client.logs(f"gpulease-{self.order.instance_id}").decode())

    def start(self) -> None:
        began = time.monotonic()
        self.bench.engine.start(self.order, self.secrets)
        wait_until(lambda: self.bench.engine.why_not_reached(self.order) is None, 60)
        self.reached_after_s = time.monotonic() - began

    def stop(self) -> None:
        self.bench.engine.stop(self.order.instance_id)


OpenPlace = Callable[..., Place]


@pytest.fixture(scope="session")
def toolkit() -> Path:
    """Held to its manifest once a session."""
    built = toolkits.ensure()
    ToolkitStore(toolkits.TOOLKITS).verify()
    return built


@pytest.fixture
def bench(docker_host: str, tmp_path: Path, toolkit: Path) -> Iterator[Bench]:
    with bench_on(docker_host, tmp_path, ToolkitStore(toolkits.TOOLKITS, prove=lambda root: 0)) as bench:
        wait_for_toolkit(bench)
        yield bench


def wait_for_toolkit(bench: Bench) -> None:
    order = bench.order(mode="ssh")
    wait_until(lambda: bench.engine.why_not_startable(order) is None, 120)


@pytest.fixture
def open_place(bench: Bench, tmp_path: Path) -> OpenPlace:
    def open_one(image: str, mode: str = "ssh", ports: tuple[Port, ...] = (), **secrets: Any) -> Place:
        ssh_port, jupyter_port = free_port(), free_port()
        ours = (Port(layout.SSH_PORT, "tcp", ssh_port), Port(layout.JUPYTER_PORT, "tcp", jupyter_port))
        order = replace(bench.order(ROOMY, image=image, mode=mode), ports=(*ours, *ports))
        visitor = Visitor.new(tmp_path, ssh_port)
        given = Secrets(**{"ssh_keys": (visitor.public,), "jupyter_token": TOKEN, **secrets})
        files = InstanceFiles(tmp_path / "instances" / str(order.instance_id))
        bench.made.append(order)
        if mode == "jupyter":
            files.make_folders()
            files.set_tls(Notary().files(order.instance_id))
        place = Place(bench, order, visitor, files, given)
        place.start()
        return place

    return open_one
