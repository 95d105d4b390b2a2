"""A machine replaces its key, loses its host, and comes back as a new one: real program, real containers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import docker
import pytest

from local.client import ApiError
from local.leftovers import containers_of, networks_of, remove_containers
from local.machine import Machine
from local.ports import free_port
from local.site import LOCAL, Running, Site
from tests.e2e.renting import rent, show, sweep, wait_for_instance

SECRET_ENV = ["sh", "-c", "echo the secret is $SECRET; trap exit TERM; sleep 3600 & wait"]


@pytest.fixture
def own_site() -> Iterator[Site]:
    """A site of its own: its host will be given up."""
    site = Site(LOCAL / "test-giving-up", free_port(), 4, heartbeat_s=5)
    site.stop()
    shutil.rmtree(site.state, ignore_errors=True)
    yield site
    site.stop()


@pytest.fixture
def serving(own_site: Site) -> Iterator[Running]:
    started = own_site.start()
    yield started
    own_site.stop()
    remove_containers(own_site.state, started.docker_host)


def host_program(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`gpulease-host`, as its owner calls it on the machine."""
    program = site.state / "bin" / "gpulease-host"
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)


def test_a_machine_replaces_its_key_and_comes_back_after_its_host_was_given_up(
    own_site: Site, serving: Running
) -> None:
    engine = docker.DockerClient(base_url=serving.docker_host)
    contract = rent(serving, args=SECRET_ENV, env={"SECRET": "told only to the host"})
    name = f"gpulease-{contract['id']}"

    before = json.loads((own_site.state / "host" / "config.json").read_text())["key_id"]
    rotated = host_program(own_site, "rotate-key")
    assert rotated.returncode == 0, rotated.stderr
    assert json.loads(rotated.stdout)["key_id"] != before
    assert engine.containers.get(name).status == "running"
    serving.client.post(f"/v1/contracts/{contract['id']}/stop")
    wait_for_instance(serving, contract, "stopped")
    serving.client.post(f"/v1/contracts/{contract['id']}/start")
    wait_for_instance(serving, contract, "running")
    assert engine.containers.get(name).logs().decode().count("told only to the host") == 2

    with pytest.raises(ApiError, match="reports still"):
        serving.owner.post(f"/v1/hosts/{serving.host_id}/lost")
    assert serving.owner.post(f"/v1/hosts/{serving.host_id}/revoke")["status"] == "revoked"
    assert not serving.client.get("/v1/offers")["items"]
    sweep(serving)
    ended = show(serving, contract)
    assert ended["status"] == "deleted"
    assert "revoked" in ended["reason"]
    assert not serving.owner.get(f"/v1/hosts/{serving.host_id}")["contracts"]

    new_id = Machine(own_site.state, serving.docker_host, 5).join_as_new(serving.cloud, serving.owner, 4)
    assert new_id != serving.host_id
    assert not containers_of(engine, serving.host_id)
    assert not networks_of(engine, serving.host_id)
    again = rent(serving)
    assert again["host_id"] == new_id
