"""The service on this machine, and the guest as a host of it: joined by the line that `POST /v1/hosts` answers.

The guest reaches the service as the owner of a host at the other end of the world does, by HTTP; here through ports
that ssh forwards, which are away for a while after each reboot of the guest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local import supervise
from local.bring_up import bring_up
from local.client import Client, wait_until
from local.cloud.settings import CloudInfo
from local.credentials import Credentials, provide_keys
from local.offers import wait_for_offer
from local.ports import free_port
from local.site import LOCAL, Site
from tests.vm.guest import CHECKOUT, Login
from tests.vm.inside import wheelhouse
from tests.vm.plan import GUEST_PORT

GRACE_S = 3600
GPUS = 4
JOIN_S = 300
RUNNING_S = 600
"""Guests are ten times slower than machines."""
STAND_IN = "/usr/local/sbin/agent-stand-in"
WHEELS = "/root/wheels"
PYTHON = f"cd {CHECKOUT} && PYTHONPATH=functions:host:. .venv/bin/python"
TOOLKITS = f"{CHECKOUT}/.cache/toolkit"


@dataclass
class Service:
    """The service as client and owner see it, and the guest that is its host."""

    guest: Login
    cloud: CloudInfo
    credentials: Credentials
    state: Path
    host_id: int = 0
    tunnel: subprocess.Popen[bytes] | None = None
    contracts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What one test leaves for the next, by name."""

    @property
    def client(self) -> Client:
        return Client(self.cloud.front_url, self.credentials.client_key)

    @property
    def owner(self) -> Client:
        return Client(self.cloud.front_url, self.credentials.host_key)

    def connect(self) -> None:
        """Let the guest reach the service; again after each reboot."""
        self.disconnect()
        ports = [url.rpartition(":")[2].strip("/") for url in (self.cloud.front_url, self.cloud.aws_endpoint)]
        forwards = [word for port in ports for word in ("-R", f"127.0.0.1:{port}:127.0.0.1:{port}")]
        self.tunnel = subprocess.Popen(self.guest.ssh("sleep infinity", "-o", "ServerAliveInterval=5", *forwards))

    def disconnect(self) -> None:
        if self.tunnel is not None:
            self.tunnel.terminate()
            self.tunnel.wait()
        self.tunnel = None

    def reboot(self) -> None:
        self.disconnect()
        self.guest.reboot()
        self.connect()

    def rent(self, name: str, **wish: Any) -> dict[str, Any]:
        offer = wait_for_offer(self.client, self.owner, mode=wish.get("mode", "args"), timeout_s=RUNNING_S)
        made = self.client.post("/v1/contracts", {"offer_id": offer["id"], "disk_gib": 1, **wish})
        self.contracts[name] = made
        return self.await_instance(name, "running")

    def show(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.client.get(f"/v1/contracts/{self.contracts[name]['id']}")
        return shown

    def await_instance(self, name: str, status: str, timeout_s: float = RUNNING_S) -> dict[str, Any]:
        def arrived(seen: dict[str, Any]) -> bool:
            assert seen["status"] != "failed" or status == "failed", seen["reason"]
            return bool(seen["instances"][0]["status"] == status)

        seen: dict[str, Any] = wait_until(lambda: self.show(name), arrived, f"{name} {status}", timeout_s)
        return seen

    def show_host(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.owner.get(f"/v1/hosts/{self.host_id}")
        return shown

    def await_report(self, since: float) -> dict[str, Any]:
        """A report that the service has heard after this moment."""
        seen: dict[str, Any] = wait_until(
            self.show_host, lambda host: (host["last_seen_at"] or 0) > since, "The host's report", JOIN_S
        )
        return seen


@pytest.fixture(scope="session")
def guest() -> Login:
    return Login(int(os.environ[GUEST_PORT]))


@pytest.fixture(scope="session")
def service(guest: Login) -> Iterator[Service]:
    state = LOCAL / f"vm-{guest.port}"
    site = Site(state, free_port(), GRACE_S)
    made = None
    try:
        cloud = bring_up(state, site.port, site.assembly())
        made = Service(guest, cloud, provide_keys(cloud, state), state)
        made.connect()
        yield made
    finally:
        if made is not None:
            made.disconnect()
        supervise.stop_cloud(state)
        shutil.rmtree(state, ignore_errors=True)


def prepare_stand_in(service: Service) -> None:
    """In place of amazon-ssm-agent: called as that is to register, then a unit of its own."""
    endpoint, region = service.cloud.aws_endpoint, service.cloud.region
    agent = f"{CHECKOUT}/.venv/bin/python -m local.agent --endpoint {endpoint} --region {region}"
    agent += " --state-dir /var/lib/stand-in --credentials-file /root/.aws/credentials"
    service.guest.write("/etc/systemd/system/agent-stand-in.service", UNIT.format(command=agent, checkout=CHECKOUT))
    service.guest.write(STAND_IN, SCRIPT.format(command=agent, checkout=CHECKOUT))
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "GPULEASE_HEARTBEAT_S": "5",
        "GPULEASE_TOOLKIT_DIR": TOOLKITS,
        "GPULEASE_PUBLISH_ADDRESS": "127.0.0.1",
    }
    lines = "".join(f"Environment={name}={value}\n" for name, value in settings.items())
    service.guest.write("/etc/systemd/system/gpulease-host.service.d/guest.conf", f"[Service]\n{lines}")
    service.guest.run(f"chmod 755 {STAND_IN}")


def paste(service: Service, line: str) -> str:
    """What an owner does with the line, in a root shell of the machine. Its pip takes the wheels that are there."""
    options = f"--simulate-gpus {GPUS} --agent-command {STAND_IN}"
    program = f"from pathlib import Path; from {wheelhouse.__name__} import build_wheelhouse as b; b(Path('{WHEELS}'))"
    service.guest.run(f'{PYTHON} -c "{program}"')
    pip = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={WHEELS}"
    return service.guest.output(f"export {pip}; {line} {options} 2>&1")


def list_host(service: Service) -> None:
    path = f"/v1/hosts/{service.host_id}"
    service.owner.put(f"{path}/direct", {"address": "127.0.0.1", "first_port": 20000, "last_port": 20099})
    listing = {"gpu_price_microusd_h": 1000, "end_at": int(time.time()) + 86_400, "allow_soft_disk": True}
    service.owner.put(f"{path}/listing", listing)


UNIT = """[Unit]
After=network.target
[Service]
WorkingDirectory={checkout}
Environment=PYTHONPATH=.
ExecStart={command}
Restart=always
RestartSec=2
[Install]
WantedBy=multi-user.target
"""
SCRIPT = """#!/bin/sh
# Called as: -register -code CODE -id ID -region REGION -y
set -eu
mkdir -p /var/lib/amazon/ssm /var/lib/stand-in
cd {checkout}
PYTHONPATH=. {command} --register "$3" "$5" >/var/lib/stand-in/registered 2>/var/lib/stand-in/log &
pid=$!
until [ -s /var/lib/stand-in/registered ]; do
    kill -0 $pid || {{ cat /var/lib/stand-in/log >&2; exit 1; }}
    sleep 0.2
done
cp /var/lib/stand-in/registered /var/lib/amazon/ssm/registration
kill $pid
wait $pid || true
systemctl enable -q --now agent-stand-in
"""
