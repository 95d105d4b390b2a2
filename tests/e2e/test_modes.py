"""A host without a toolkit is offered with mode args only, and nothing is rented that could only wait for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from local import toolkits
from local.client import ApiError, wait_until
from local.leftovers import containers_of, networks_of
from local.machine import Machine
from local.site import Running
from tests.e2e.renting import request_for, wait_for
from tests.host.launch.visitor import Visitor


@pytest.fixture
def machine(running: Running, tmp_path: Path) -> Iterator[Machine]:
    """Another host of the site, whose toolkit can be neither found nor built: its folder is a file."""
    made = Machine(tmp_path / "state", running.docker_host, 5, toolkits=tmp_path / "toolkits")
    made.toolkits.write_text("no folder")
    yield made
    made.leave()


@pytest.fixture
def host_id(running: Running, machine: Machine) -> Iterator[int]:
    joined = machine.join(running.cloud, running.owner, 1)
    yield joined
    running.owner.delete(f"/v1/hosts/{joined}/listing")
    engine = docker.DockerClient(base_url=running.docker_host)
    for container in containers_of(engine, joined):
        container.remove(force=True, v=True)
    for network in networks_of(engine, joined):
        network.remove()


def offers(running: Running, host_id: int) -> list[dict[str, Any]]:
    return [each for each in running.client.get("/v1/offers")["items"] if each["host_id"] == host_id]


@pytest.mark.timeout(300)
def test_a_host_without_a_toolkit_offers_args_only_and_the_others_once_it_has_one(
    running: Running, machine: Machine, host_id: int, tmp_path: Path
) -> None:
    toolkits.ensure()
    (offer,) = offers(running, host_id)
    assert offer["modes"] == {"args": []}
    wish = request_for(offer, args=None, mode="ssh", ssh_keys=[Visitor.new(tmp_path, 1).public])
    with pytest.raises(ApiError, match=r"no toolkit for ssh and jupyter .*Take mode args") as refused:
        running.client.post("/v1/contracts", wish)
    assert refused.value.code == "mode_not_served"
    shown = running.owner.get(f"/v1/hosts/{host_id}")
    assert (shown["contracts"], shown["gpus_held_by"], shown["not_ready"]) == ([], {}, [])
    plain = running.client.post("/v1/contracts", request_for(offer))
    wait_for(running, plain, "active")
    running.client.delete(f"/v1/contracts/{plain['id']}")
    wait_for(running, plain, "deleted")

    machine.leave()
    machine.toolkits.unlink()
    machine.toolkits.symlink_to(toolkits.TOOLKITS)
    machine.join(running.cloud, running.owner, 1)
    (offer,) = wait_until(
        lambda: offers(running, host_id), lambda found: found and "ssh" in found[0]["modes"], "Mode ssh", 60
    )
    assert offer["modes"] == {"args": [], "ssh": ["direct"], "jupyter": ["direct"]}
    contract = running.client.post("/v1/contracts", wish)
    assert wait_for(running, contract, "active", 90)["host_id"] == host_id
    running.client.delete(f"/v1/contracts/{contract['id']}")
    wait_for(running, contract, "deleted")
