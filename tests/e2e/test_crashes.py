"""kill -9 of the local cloud: what was acknowledged is there again and ends as it should."""

from __future__ import annotations

import os
import signal
import time

import docker
import pytest

from local import supervise
from local.client import wait_until
from local.demo.readings import is_alive, read_limits
from local.site import Running, Site
from tests.e2e.conftest import wait_for_empty_host
from tests.e2e.renting import offer_of, rent, request_for, wait_for, wait_for_instance
from tests.e2e.watching import Watch


@pytest.fixture(autouse=True)
def _looks_before(site: Site, running: Running, watch: Watch) -> None:
    """The cloud's logs are lost with it. What is rented here has no secrets."""
    watch.look(running, site.state)


def kill_cloud(site: Site) -> None:
    process = supervise.running("cloud", state=site.state)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: supervise.running("cloud", state=site.state), lambda seen: seen is None, "The cloud's death")


@pytest.mark.slow
def test_killed_mid_provision_every_acknowledged_contract_comes_up(site: Site, running: Running) -> None:
    offer = offer_of(running.client)
    contracts = [running.client.post("/v1/contracts", request_for(offer)) for _ in range(3)]
    kill_cloud(site)
    site.start()
    for contract in contracts:
        wait_for(running, contract, "active", 60)
    for contract in contracts:
        running.client.delete(f"/v1/contracts/{contract['id']}")
        wait_for(running, contract, "deleted")
    wait_for_empty_host(running)


@pytest.mark.slow
def test_killed_mid_run_the_container_runs_on_and_ends_in_time(site: Site, running: Running) -> None:
    long = rent(running)
    short = rent(running, duration_s=20)
    before = read_limits(running.docker_host, long["id"])
    kill_cloud(site)
    time.sleep(1)
    assert is_alive(before.pid)
    site.start()
    assert read_limits(running.docker_host, long["id"]).pid == before.pid
    assert wait_for_instance(running, long, "running")["end_at"] == long["end_at"]
    wait_for(running, short, "deleted", 120)
    running.client.post(f"/v1/contracts/{long['id']}/stop")
    wait_for_instance(running, long, "stopped")


@pytest.mark.slow
def test_a_host_that_is_cut_off_stops_its_containers_at_their_end(
    site: Site, running: Running, engine: docker.DockerClient
) -> None:
    contract = rent(running, duration_s=8)
    kill_cloud(site)
    container = engine.containers.get(f"gpulease-{contract['id']}")
    assert container.status == "running"

    def status() -> str:
        container.reload()
        return str(container.status)

    wait_until(status, lambda seen: seen == "exited", "The local stop", 30)
    assert time.time() >= contract["end_at"]
    site.start()
    wait_for(running, contract, "deleted", 120)
