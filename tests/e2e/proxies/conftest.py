"""A site of its own, so that every other test sees a service that has no proxy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from local import proxies, toolkits
from local.leftovers import remove_containers
from local.ports import free_port
from local.proxies import TEST_NUMBERS
from local.site import LOCAL, Running, Site, release_docker
from tests.e2e.conftest import GRACE_S, end_all
from tests.e2e.watching import Watch

PROXIES = 2


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    toolkits.ensure()
    proxies.ensure_packages()
    state, tunnel_port, https_port = LOCAL / "test-proxy", free_port(), free_port()
    made = Site(
        state,
        free_port(),
        GRACE_S,
        heartbeat_s=5,
        proxies=PROXIES,
        tunnel_port=tunnel_port,
        https_port=https_port,
        proxy_numbers=TEST_NUMBERS,
    )
    made.stop()
    for folder in (made.state, made.local_proxies.state):
        shutil.rmtree(folder, ignore_errors=True)
    yield made
    made.stop()


@pytest.fixture(scope="package")
def running(site: Site, watch: Watch) -> Iterator[Running]:
    started = site.start()
    yield started
    end_all(started)
    watch.look(started, site.state)
    site.stop()
    remove_containers(site.state, started.docker_host)
    release_docker()
