"""A site for faults: its own Docker Engine in a network namespace of its own, its own cloud, agent and daemon."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from local import dockerd, proxies, toolkits
from local.client import wait_until
from local.ports import free_port
from local.site import LOCAL, Site
from tests.e2e.faults.own_network import own_network
from tests.e2e.faults.phases import end
from tests.e2e.faults.site import HEARTBEAT_S, FaultSite

GRACE_S = 15


@pytest.fixture(scope="package")
def faulty() -> Iterator[FaultSite]:
    """A site that serves; at the end its host must be empty."""
    toolkits.ensure()
    proxies.ensure_packages()
    state = LOCAL / "faults"
    with own_network():
        site = Site(state, free_port(), GRACE_S, HEARTBEAT_S, docker_socket=state / "docker.sock", proxies=1)
        _clear(site)
        try:
            yield FaultSite(site, site.start())
        finally:
            _clear(site)


@pytest.fixture(autouse=True)
def _leaves_an_empty_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test every contract is ended, and nothing of any is left anywhere."""
    yield
    if "faulty" in request.fixturenames:
        make_empty(request.getfixturevalue("faulty"))


def make_empty(faulty: FaultSite) -> None:
    faulty.bring_back()
    for contract_id in faulty.lookout.look().tables.contracts:
        end(faulty, {"id": contract_id})
    wait_until(lambda: [*faulty.look(), *_held(faulty)], lambda found: not found, "an empty host", 30)


def _held(faulty: FaultSite) -> list[str]:
    seen = faulty.lookout.look()
    machine, manifest = seen.machine, seen.tables.manifests[faulty.running.host_id]  # type: ignore[index]
    left = [*machine.containers, *machine.networks, *machine.bridges, *machine.groups, *machine.layers]
    return [f"left over: {each}" for each in [*left, *manifest.claims, *manifest.leases, *manifest.waiters]]


def _clear(site: Site) -> None:
    """Also what an earlier run left that was killed."""
    site.stop()
    dockerd.stop(site.docker_state, force=True)
    for folder in (site.state, site.local_proxies.state):
        shutil.rmtree(folder, ignore_errors=True)
