"""From `POST /v1/contracts` to Docker's StartedAt, beside plain Docker with the same flags, taking turns."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

import docker
import docker.errors

from local.bench.figures import Figure
from local.client import wait_until
from local.images import BUSYBOX
from local.site import Running

DOCKER = "/usr/bin/docker"
COMMAND = ["sleep", "600"]
TURNS = 10
TARGET_S = 0.7


@dataclass(frozen=True)
class Starts:
    """Seconds to a started container, one entry per turn."""

    service: list[float]
    plain: list[float]

    @property
    def overhead_s(self) -> float:
        """Median of the service less the median of plain Docker."""
        return median(self.service) - median(self.plain)


def figures(site: Running) -> list[Figure]:
    print(f"Starts, {TURNS} turns …")
    starts = measure(site, TURNS)
    return [
        Figure("POST /v1/contracts to StartedAt", median(starts.service), None, "s"),
        Figure("plain Docker, same flags", median(starts.plain), None, "s"),
        Figure("overhead of a start", starts.overhead_s, TARGET_S, "s"),
    ]


def measure(site: Running, turns: int, warm_up: int = 2) -> Starts:
    """Rent and end, then the same by hand, `turns` times; the first `warm_up` turns do not count."""
    client = docker.DockerClient(base_url=site.docker_host)
    service, plain = [], []
    for turn in range(turns + warm_up):
        rented, flags = _rent(site, client)
        by_hand = _run_by_hand(site.docker_host, client, flags)
        if turn >= warm_up:
            service.append(rented)
            plain.append(by_hand)
    return Starts(service, plain)


def _rent(site: Running, client: docker.DockerClient) -> tuple[float, list[str]]:
    offer = next(each for each in site.client.get("/v1/offers")["items"] if each["num_gpus"] == 1)
    body = {"offer_id": offer["id"], "image": BUSYBOX, "args": COMMAND, "disk_gib": 1, "duration_s": 600}
    began = time.time()
    contract = site.client.post("/v1/contracts", body)
    path = f"/v1/contracts/{contract['id']}"
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "active", "The contract")
    attrs: dict[str, Any] = client.containers.get(f"gpulease-{contract['id']}").attrs
    site.client.delete(path)
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "deleted", "The end")
    return _started_at(attrs) - began, _flags(attrs)


def _run_by_hand(docker_host: str, client: docker.DockerClient, flags: list[str]) -> float:
    base = [DOCKER, "--host", docker_host]
    network = ["network", "create", "--subnet", "10.250.7.0/28", "gpulease-bench"]
    run = ["run", "-d", "--name", "gpulease-bench", "--network", "gpulease-bench", *flags, BUSYBOX, *COMMAND]
    began = time.time()
    subprocess.run([*base, *network], check=True, capture_output=True)
    subprocess.run([*base, *run], check=True, capture_output=True)
    container = client.containers.get("gpulease-bench")
    took = _started_at(container.attrs) - began
    container.remove(force=True)
    client.networks.get("gpulease-bench").remove()
    return took


def _flags(attrs: dict[str, Any]) -> list[str]:
    """The container's own limits, as flags of `docker run`."""
    host = attrs["HostConfig"]
    flags = ["--cgroup-parent", host["CgroupParent"], "--cpu-shares", str(host["CpuShares"])]
    flags += ["--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"])]
    flags += ["--memory-reservation", str(host["MemoryReservation"]), "--shm-size", str(host["ShmSize"])]
    flags += ["--pids-limit", str(host["PidsLimit"]), "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    flags += [part for name in host["CapAdd"] for part in ("--cap-add", name)]
    flags += [
        part for name, value in (host["StorageOpt"] or {}).items() for part in ("--storage-opt", f"{name}={value}")
    ]
    flags += [part for name, value in host["LogConfig"]["Config"].items() for part in ("--log-opt", f"{name}={value}")]
    gpus = [device for request in host["DeviceRequests"] or [] for device in request["DeviceIDs"]]
    return flags + (["--gpus", f'"device={",".join(gpus)}"'] if gpus else [])


def _started_at(attrs: dict[str, Any]) -> float:
    text = attrs["State"]["StartedAt"]
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()
