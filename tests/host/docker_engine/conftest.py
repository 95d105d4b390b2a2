"""A Docker Engine of the project for the session: the one that runs, or a private one in a network namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpulease_host.docker_engine import DockerEngine
from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.engine import PUBLISH_ADDRESS
from gpulease_host.docker_engine.machine import SIMULATED_GPUS_LABEL
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.inventory import GpuSource
from gpulease_host.inventory_simulated import SimulatedGpus
from gpulease_host.toolkit.store import ToolkitStore
from local import dockerd, images
from local.registry import Registry
from local.registry import start as start_registry
from local.toolkits import TOOLKITS
from tests.host.docker_engine.bench import MIB, Bench, client_of, start_private
from tests.host.docker_engine.private_docker import PrivateDocker
from tests.host.docker_engine.private_images import PASSWORDS, PrivateImages
from tests.host.docker_engine.surroundings import Outside, another_machine

TENANTS_MEMORY_BYTES = 400 * MIB


@pytest.fixture(scope="session")
def docker_host() -> str:
    """Any Docker Engine, as the set-up finds or starts it."""
    host = dockerd.ensure().docker_host
    images.ensure(host)
    return host


@pytest.fixture(scope="session")
def own_docker_host(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that enforces disk sizes and has the double of NVIDIA's hook."""
    labels = client_of(docker_host).info()["Labels"] or []
    if any(label.startswith(SIMULATED_GPUS_LABEL) for label in labels):
        yield docker_host
        return
    state = tmp_path_factory.mktemp("dockerd")
    host = start_private(state)
    images.ensure(host)
    yield host
    dockerd.stop(state, force=True)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real one, with a login."""
    started = start_registry(tmp_path_factory.mktemp("registry"), PASSWORDS)
    yield started
    started.stop()


@pytest.fixture
def private(bench: Bench, registry: Registry) -> Iterator[PrivateImages]:
    made = PrivateImages(registry, bench.client)
    yield made
    bench.clear()
    made.clear()


@pytest.fixture
def bench(docker_host: str, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(docker_host, tmp_path) as made:
        yield made


@pytest.fixture
def public_bench(docker_host: str, tmp_path: Path) -> Iterator[Bench]:
    """Publishes on every address, as hosts do."""
    with bench_on(docker_host, tmp_path, publish_address=PUBLISH_ADDRESS) as made:
        yield made


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with another_machine() as machine:
        yield machine


@pytest.fixture
def own_bench(own_docker_host: str, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(own_docker_host, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def private_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("private")
    yield folder
    dockerd.stop(folder, force=True)


@pytest.fixture
def private_docker(private_state: Path) -> Iterator[PrivateDocker]:
    """Started again where an earlier test of the file left it stopped."""
    host = start_private(private_state)
    images.ensure(host)
    with bench_on(host, private_state) as made:
        yield PrivateDocker(private_state, made)


@contextmanager
def bench_on(
    docker_host: str,
    folder: Path,
    toolkits: ToolkitStore | None = None,
    publish_address: str = "127.0.0.1",
    gpus: GpuSource | None = None,
) -> Iterator[Bench]:
    group = f"gpulease-test-{os.getpid()}"
    gpus = gpus or SimulatedGpus(4, seed=group)
    ways_in = WaysIn(folder, toolkits or ToolkitStore(TOOLKITS))
    engine = DockerEngine(
        docker_host,
        os.getpid(),
        gpus,
        ways_in,
        publish_address=publish_address,
        parent_group=group,
        memory_bytes=TENANTS_MEMORY_BYTES,
    )
    bench = Bench(engine, docker_host, client_of(docker_host), gpus)
    try:
        yield bench
    finally:
        bench.clear()
        engine.close()
        _remove_group(bench.group)


def _remove_group(group: str) -> None:
    if group.endswith(".slice"):
        for verb in ("stop", "revert"):  # the second takes back what was set of it
            subprocess.run(["systemctl", verb, group], check=False, capture_output=True)
    Cgroups().remove(group)
