"""Makes this machine a host of the local service, by the same steps as any machine: agent, registration, daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local import supervise
from local.client import Client, wait_until
from local.cloud.settings import CloudInfo
from local.ports import free_range
from local.sources import fingerprint
from local.toolkits import TOOLKITS

SIMULATED_GPUS = 4
LISTED_S = 365 * 86_400
GPU_PRICE_MICROUSD_H = 350_000
DISK_PRICE_MICROUSD_GIB_MONTH = 100_000
JOIN_TIMEOUT_S = 240
"""Only guards against waiting for ever."""
PUBLISH_ADDRESS = "127.0.0.1"
OPEN_PORTS = 100
"""Where contracts are reached directly: on loopback, so that nobody else reaches them."""
AGENT_SOURCES = ("local/agent",)
DAEMON_SOURCES = ("host", "constraints.txt")


class JoinError(Exception):
    """This machine could not become a host; the sentence holds the reason."""


@dataclass(frozen=True)
class Machine:
    """The host side of a site, all in one folder: agent, daemon, their state and logs; toolkits are shared."""

    state: Path
    docker_host: str
    heartbeat_s: int = 60
    toolkits: Path = TOOLKITS

    @property
    def host_dir(self) -> Path:
        return self.state / "host"

    @property
    def credentials(self) -> Path:
        return self.state / "agent" / "credentials"

    def join(self, cloud: CloudInfo, owner: Client, simulated_gpus: int) -> int:
        """Register and list this machine, once; start its agent and daemon. Answers the host's id.

        Raises JoinError.
        """
        if os.geteuid() != 0:
            raise JoinError("A host's daemon sets cgroups and firewall rules: run this as root, for example with sudo.")
        self._write_program(cloud)
        config = self.host_dir / "config.json"
        if config.exists():
            self._start_agent(cloud)
            self.start_daemon()
            known_id = int(json.loads(config.read_text())["host_id"])
            self._wait_until_heard(owner, known_id)
            return known_id
        return self.join_as_new(cloud, owner, simulated_gpus)

    def join_as_new(self, cloud: CloudInfo, owner: Client, simulated_gpus: int) -> int:
        """Become a host that did not exist before, also where this machine was another: see `docs/hosts.md`.

        Raises JoinError.
        """
        self.leave()
        shutil.rmtree(self.state / "agent", ignore_errors=True)
        admission = owner.post("/v1/hosts", {"label": os.uname().nodename})
        self._start_agent(cloud, admission["activation_code"], admission["activation_id"])
        self._register(cloud, admission["registration_token"], simulated_gpus)
        self.start_daemon()
        host_id = int(admission["id"])
        self._wait_until_heard(owner, host_id)
        self._open_ports(owner, host_id)
        self._list(owner, host_id)
        return host_id

    def leave(self) -> None:
        """Stop the daemon and the agent; containers stay as they are."""
        supervise.stop("daemon", state=self.state)
        supervise.stop("agent", state=self.state)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the host program as its owner does on the machine."""
        command = [str(self._program), *arguments]
        return subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)

    def _start_agent(self, cloud: CloudInfo, code: str = "", activation_id: str = "") -> None:
        command = [sys.executable, "-m", "local.agent", "--endpoint", cloud.aws_endpoint, "--region", cloud.region]
        command += ["--state-dir", str(self.state / "agent"), "--credentials-file", str(self.credentials)]
        command += ["--register", code, activation_id] if code else []
        self._run("agent", command, AGENT_SOURCES)

    def start_daemon(self) -> None:
        """One that runs this code already stays."""
        self._run("daemon", [str(self._program), "daemon"], DAEMON_SOURCES)

    def _run(self, name: str, command: Sequence[str], sources: Sequence[str]) -> None:
        """One that runs older code is replaced; containers do not notice."""
        code = fingerprint(supervise.ROOT, sources)
        supervise.start(name, command, state=self.state, env=self._environment(), code=code)

    def _register(self, cloud: CloudInfo, token: str, simulated_gpus: int) -> None:
        arguments = ["register", "--api-url", cloud.front_url, "--token", token]
        arguments += ["--simulate-gpus", str(simulated_gpus)] if simulated_gpus else []
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while True:
            done = self.call(*arguments)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                why = done.stderr.strip() or done.stdout.strip()
                raise JoinError(f"The machine could not register: {why} Once that is mended, run the same again.")
            time.sleep(0.3)

    def _wait_until_heard(self, owner: Client, host_id: int) -> None:
        """Also after a pause: a host that was silent for long has no offers until its next report."""
        wait_until(
            lambda: owner.get(f"/v1/hosts/{host_id}"),
            lambda host: host["last_seen_at"] is not None and host["offline_since"] is None,
            "The host's report",
            JOIN_TIMEOUT_S,
        )

    def _open_ports(self, owner: Client, host_id: int) -> None:
        first = free_range(OPEN_PORTS)
        body = {"address": PUBLISH_ADDRESS, "first_port": first, "last_port": first + OPEN_PORTS - 1}
        owner.put(f"/v1/hosts/{host_id}/direct", body)

    def _list(self, owner: Client, host_id: int) -> None:
        owner.put(
            f"/v1/hosts/{host_id}/listing",
            {
                "gpu_price_microusd_h": GPU_PRICE_MICROUSD_H,
                "disk_price_microusd_gib_month": DISK_PRICE_MICROUSD_GIB_MONTH,
                "end_at": int(time.time()) + LISTED_S,
                "min_gpus": 1,
                "allow_soft_disk": True,
            },
        )

    @property
    def _program(self) -> Path:
        return self.state / "bin" / "gpulease-host"

    def _write_program(self, cloud: CloudInfo) -> None:
        """The program that the command document calls, found by the agent on its PATH."""
        self._program.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            "#!/bin/sh",
            f"export GPULEASE_HOST_DIR='{self.host_dir}' PYTHONPATH='{supervise.ROOT / 'host'}'",
            f"export AWS_ENDPOINT_URL='{cloud.aws_endpoint}' AWS_SHARED_CREDENTIALS_FILE='{self.credentials}'",
            f"exec '{sys.executable}' -m gpulease_host \"$@\"",
        ]
        self._program.write_text("\n".join(lines) + "\n")
        self._program.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._program.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(supervise.ROOT),
            "HOME": str(self.state),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": self.docker_host,
            "GPULEASE_HEARTBEAT_S": str(self.heartbeat_s),
            "GPULEASE_TOOLKIT_DIR": str(self.toolkits),
            "GPULEASE_PUBLISH_ADDRESS": PUBLISH_ADDRESS,
        }


def has_nvidia_gpus() -> bool:
    """Whether this machine has an NVIDIA driver with a GPU."""
    return Path("/dev/nvidiactl").exists() and any(Path("/dev").glob("nvidia[0-9]*"))
