"""A machine replaces its key, loses its host, and comes back as a new one: real program, real containers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import docker
import pytest

from local import supervise
from local.client import ApiError, wait_until
from local.leftovers import containers_of, host_of, networks_of, remove_containers
from local.machine import Machine
from local.ports import free_port
from local.site import LOCAL, Running, Site, release_docker, simulated_gpus
from rental.domain.liveness import OFFLINE_AFTER_S
from tests.e2e.conftest import GRACE_S, end_all
from tests.e2e.renting import rent, show, sweep, wait_for, wait_for_instance
from tests.e2e.watching import Watch
from tests.fakes.planting import plant

SECRET_ENV = ["sh", "-c", "echo the secret is $SECRET; trap exit TERM; sleep 3600 & wait"]


@pytest.fixture(scope="module")
def own_site() -> Iterator[Site]:
    """A site of its own: its host will be given up."""
    site = Site(LOCAL / "test-giving-up", free_port(), GRACE_S, heartbeat_s=5)
    site.stop()
    shutil.rmtree(site.state, ignore_errors=True)
    yield site
    site.stop()


@pytest.fixture(scope="module")
def started(own_site: Site, watch: Watch) -> Iterator[Running]:
    started = own_site.start()
    yield started
    watch.look(started, own_site.state)
    own_site.stop()
    remove_containers(own_site.state, started.docker_host)
    release_docker()


@pytest.fixture(scope="module")
def machine(own_site: Site, started: Running) -> Machine:
    return Machine(own_site.state, started.docker_host, own_site.heartbeat_s)


@pytest.fixture
def serving(started: Running, machine: Machine) -> Iterator[Running]:
    """The site with its machine as a host; after a test that gave it up, as a new one."""
    if not is_active(started, host_on(machine)):
        machine.join_as_new(started.cloud, started.owner, simulated_gpus())
    yield replace(started, host_id=host_on(machine))
    if is_active(started, host_on(machine)):
        end_all(replace(started, host_id=host_on(machine)))


@pytest.fixture
def engine(started: Running) -> docker.DockerClient:
    return docker.DockerClient(base_url=started.docker_host)


def host_on(machine: Machine) -> int:
    host_id = host_of(machine.state)
    assert host_id is not None
    return host_id


def is_active(site: Running, host_id: int) -> bool:
    return bool(site.owner.get(f"/v1/hosts/{host_id}")["status"] == "active")


def container_of(engine: docker.DockerClient, contract: dict[str, Any]) -> Any:
    return engine.containers.get(f"gpulease-{contract['id']}")


def key_id(answer: str) -> str:
    return str(json.loads(answer)["key_id"])


def key_files(machine: Machine) -> list[str]:
    return sorted(each.name for each in machine.host_dir.glob("machine.key*"))


def kill_daemon(site: Site) -> None:
    process = supervise.running("daemon", state=site.state)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: supervise.running("daemon", state=site.state), lambda seen: seen is None, "The daemon's death")


def fall_silent(running: Running) -> None:
    """As if nothing had been heard for five minutes: the real ones would be too long for a test."""
    running.cloud.client("dynamodb").update_item(
        TableName=running.cloud.outputs["LivenessTableName"],
        Key={"host_id": {"N": str(running.host_id)}},
        UpdateExpression="SET seen_at = :then",
        ExpressionAttributeValues={":then": {"N": str(int(time.time()) - OFFLINE_AFTER_S)}},
    )
    sweep(running)
    assert running.owner.get(f"/v1/hosts/{running.host_id}")["offline_since"] is not None


@pytest.mark.slow
def test_what_is_sealed_to_a_former_key_starts_and_so_does_what_is_sealed_to_the_new_one(
    serving: Running, machine: Machine, engine: docker.DockerClient
) -> None:
    first, second = plant("sealed to the former key"), plant("sealed to the new key")
    stopped = rent(serving, args=SECRET_ENV, env={"SECRET": first})
    running = rent(serving)
    serving.client.post(f"/v1/contracts/{stopped['id']}/stop")
    wait_for_instance(serving, stopped, "stopped")

    before = key_id((machine.host_dir / "config.json").read_text())
    rotated = machine.call("rotate-key")
    assert rotated.returncode == 0, rotated.stderr
    assert key_id(rotated.stdout) != before
    assert key_files(machine) == ["machine.key", f"machine.key.former-{before}"]
    assert container_of(engine, running).status == "running"

    serving.client.post(f"/v1/contracts/{stopped['id']}/start")
    wait_for_instance(serving, stopped, "running")
    assert container_of(engine, stopped).logs().decode().count(first) == 2
    anew = rent(serving, args=SECRET_ENV, env={"SECRET": second})
    assert second in container_of(engine, anew).logs().decode()


def test_a_host_whose_daemon_died_is_declared_lost_and_its_machine_comes_back_as_a_new_one(
    own_site: Site, serving: Running, machine: Machine, engine: docker.DockerClient
) -> None:
    contract, ended_early = rent(serving), rent(serving)
    with pytest.raises(ApiError, match="409 host_heard"):
        serving.owner.post(f"/v1/hosts/{serving.host_id}/lost")
    kill_daemon(own_site)
    fall_silent(serving)
    assert serving.owner.post(f"/v1/hosts/{serving.host_id}/lost")["status"] == "lost"
    assert not serving.client.get("/v1/offers")["items"]
    assert serving.client.delete(f"/v1/contracts/{ended_early['id']}")["status"] == "deleted"
    sweep(serving)
    assert "declared lost" in wait_for(serving, contract, "deleted")["reason"]
    left = serving.owner.get(f"/v1/hosts/{serving.host_id}")
    assert (left["contracts"], left["gpus_held_by"]) == ([], {})
    assert [each.status for each in containers_of(engine, serving.host_id)] == ["running"] * 2, "nobody was told yet"

    new_id = machine.join_as_new(serving.cloud, serving.owner, simulated_gpus())
    assert new_id != serving.host_id
    assert not containers_of(engine, serving.host_id)
    assert not networks_of(engine, serving.host_id)
    assert key_files(machine) == ["machine.key"]
    assert (machine.host_dir / f"journal.retired-{serving.host_id}").exists()
    assert rent(serving)["host_id"] == new_id


def test_a_revoked_host_stops_what_it_has_and_removes_nothing(
    own_site: Site, serving: Running, machine: Machine, engine: docker.DockerClient
) -> None:
    contract = rent(serving)
    container = container_of(engine, contract)
    assert serving.owner.post(f"/v1/hosts/{serving.host_id}/revoke")["status"] == "revoked"
    sweep(serving)
    assert "revoked" in wait_for(serving, contract, "deleted")["reason"]
    kill_daemon(own_site)
    machine.start_daemon()  # each start asks at once; one that runs on asks within ten minutes

    def status() -> str:
        container.reload()
        return str(container.status)

    wait_until(status, lambda seen: seen == "exited", "The stop", 30)
    assert "revoked" in json.loads(machine.call("status").stdout)["retired"]
    assert status() == "exited"


def test_a_machine_whose_host_was_not_given_up_stays_that_host(serving: Running, machine: Machine) -> None:
    contract = rent(serving)
    token = serving.owner.post("/v1/hosts", {"label": "another"})["registration_token"]
    refused = machine.call("register", "--api-url", serving.cloud.front_url, "--token", token)
    assert refused.returncode == 1
    assert "not given up" in refused.stderr
    assert host_on(machine) == serving.host_id
    assert show(serving, contract)["instances"][0]["status"] == "running"
