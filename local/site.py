"""A whole service on this machine: Docker, the local cloud, and this machine as its host.

`make up` and the demo are sites of their own, with ports and state of their own; they share one Docker Engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local import dockerd, images, supervise, synth
from local.bring_up import bring_up
from local.client import Client
from local.cloud.settings import CloudInfo
from local.credentials import Credentials, provide_keys
from local.machine import SIMULATED_GPUS, Machine, has_nvidia_gpus
from local.proxies import HTTPS_PORT, NUMBERS, TUNNEL_PORT, LocalProxies

LOCAL = supervise.ROOT / ".local"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """Where a site keeps its state and what it is told; seconds.

    `docker_socket` asks for a Docker Engine of its own there; without, it is the one that all sites share.
    """

    state: Path
    port: int
    grace_s: int | None = None
    heartbeat_s: int = 60
    sources: Path = supervise.ROOT
    docker_socket: Path | None = None
    proxies: int = 0
    tunnel_port: int = TUNNEL_PORT
    https_port: int = HTTPS_PORT
    proxy_numbers: range = NUMBERS

    @property
    def docker_state(self) -> Path:
        return LOCAL / "docker" if self.docker_socket is None else self.state / "docker"

    def start(self, say: Say = print) -> Running:
        """Bring everything up over whatever was left; what runs already stays, and is brought up to date."""
        docker = dockerd.ensure(self.docker_state, self.docker_socket)
        say(docker.note)
        images.ensure(docker.docker_host)
        cloud = bring_up(self.state, self.port, self.assembly(), say)
        credentials = provide_keys(cloud, self.state)
        say("Making this machine a host …")
        machine = Machine(self.state, docker.docker_host, self.heartbeat_s)
        self.local_proxies.start(cloud.front_url, credentials.proxy_key)
        host_id = machine.join(cloud, Client(cloud.front_url, credentials.host_key), simulated_gpus())
        return Running(cloud, credentials, host_id, docker.docker_host)

    def assembly(self) -> Path:
        """The synthesized templates."""
        context = {} if self.grace_s is None else {"grace_s": str(self.grace_s)}
        return synth.cached_assembly(self.sources, context | self.local_proxies.context())

    @property
    def local_proxies(self) -> LocalProxies:
        """What lasts of them is in a folder beside the site's own."""
        beside = self.state.with_name(f"{self.state.name}-proxies")
        return LocalProxies(beside, self.proxies, self.tunnel_port, self.https_port, self.proxy_numbers)

    def stop(self) -> bool:
        """Stop what this site started; True when something was running. Containers are not touched."""
        running = [supervise.stop(name, state=self.state) for name in ("daemon", "agent")]
        running.append(self.local_proxies.stop())
        return supervise.stop_cloud(self.state) or any(running)


def simulated_gpus() -> int:
    """How many GPUs this machine must make up."""
    return 0 if has_nvidia_gpus() else SIMULATED_GPUS


def release_docker() -> None:
    """Stop a Docker Engine of ours that nobody uses any more: no site's host runs, and no container."""
    if not any(supervise.running("daemon", state=site) for site in LOCAL.glob("*") if site.is_dir()):
        dockerd.stop(LOCAL / "docker")


@dataclass(frozen=True)
class Running:
    """A site that serves."""

    cloud: CloudInfo
    credentials: Credentials
    host_id: int
    docker_host: str
    client_type: type[Client] = Client

    @property
    def client(self) -> Client:
        return self.client_type(self.cloud.front_url, self.credentials.client_key)

    @property
    def owner(self) -> Client:
        return self.client_type(self.cloud.front_url, self.credentials.host_key)
