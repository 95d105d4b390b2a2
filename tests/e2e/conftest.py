"""One whole service for all end-to-end tests: local cloud, agent, daemon and Docker, all real."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from local.client import Client, wait_until
from local.leftovers import containers_of, remove_containers
from local.ports import free_port
from local.site import LOCAL, Running, Site, release_docker
from tests.e2e.watching import Watch

GRACE_S = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cloud and Docker."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cloud)
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A site that a test may kill and start again."""
    made = Site(LOCAL / "test", free_port(), GRACE_S, heartbeat_s=5)
    made.stop()
    shutil.rmtree(made.state, ignore_errors=True)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """Looks for secrets that were left anywhere in this session; tells at its end."""
    made = Watch()
    yield made
    assert not made.findings, "\n".join(sorted(made.findings))


@pytest.fixture(scope="session")
def running(site: Site, watch: Watch) -> Iterator[Running]:
    """The site, serving. At the end nothing secret is left of all that the tests have done with it."""
    started = site.start()
    yield started
    watch.look(started, site.state)
    site.stop()
    remove_containers(site.state, started.docker_host)
    release_docker()


@pytest.fixture
def engine(running: Running) -> docker.DockerClient:
    return docker.DockerClient(base_url=running.docker_host)


@pytest.fixture(autouse=True)
def _ends_everything(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test its contracts are ended, so that the next one finds every GPU free."""
    yield
    if "running" in request.fixturenames:
        end_all(request.getfixturevalue("running"))


def end_all(running: Running) -> None:
    """End what is not over, and wait until the host has nothing left."""
    client = Client(running.cloud.front_url, running.credentials.client_key)
    for contract in client.get("/v1/contracts")["items"]:
        if contract["status"] in ("pending", "active", "expired"):
            client.delete(f"/v1/contracts/{contract['id']}")
    wait_for_empty_host(running)


def wait_for_empty_host(running: Running, timeout_s: float = 30) -> None:
    engine = docker.DockerClient(base_url=running.docker_host)
    wait_until(
        lambda: running.owner.get(f"/v1/hosts/{running.host_id}"),
        lambda host: not host["contracts"] and not host["gpus_held_by"],
        "An empty host",
        timeout_s,
    )
    assert not containers_of(engine, running.host_id)
