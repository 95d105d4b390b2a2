"""What a host leaves on Docker, found by its label: to clean up after a demo, and to see that nothing leaked."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import docker.errors
import requests
from docker.models.containers import Container
from docker.models.networks import Network

HOST_LABEL = "gpulease.host"
CONTRACT_LABEL = "gpulease.contract"


def host_of(state: Path) -> int | None:
    """The host that the site of this folder registered."""
    config = state / "host" / "config.json"
    return int(json.loads(config.read_text())["host_id"]) if config.exists() else None


def containers_of(client: docker.DockerClient, host_id: int) -> list[Container]:
    found: list[Container] = client.containers.list(all=True, filters={"label": f"{HOST_LABEL}={host_id}"})
    return found


def networks_of(client: docker.DockerClient, host_id: int) -> list[Network]:
    found: list[Network] = client.networks.list(filters={"label": f"{HOST_LABEL}={host_id}"})
    return found


def remove_containers(state: Path, docker_host: str) -> int:
    """Remove what the host of this folder runs; returns how many containers that were."""
    host_id = host_of(state)
    if host_id is None:
        return 0
    client = docker.DockerClient(base_url=docker_host)
    containers = containers_of(client, host_id)
    for container in containers:
        container.remove(force=True, v=True)
    for network in networks_of(client, host_id):
        network.remove()
    return len(containers)


def count_running(state: Path, docker_socket: Path) -> int:
    """How many containers of this folder's host run; 0 where no Docker answers."""
    host_id = host_of(state)
    if host_id is None or not docker_socket.exists():
        return 0
    try:
        client = docker.DockerClient(base_url=f"unix://{docker_socket}")
        return sum(1 for container in containers_of(client, host_id) if container.status == "running")
    except (docker.errors.DockerException, requests.RequestException):
        return 0
