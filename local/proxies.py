"""Proxies of a local site, each at a loopback address of its own: 127.0.0.1, then 127.0.0.2 and so on.

They have the same ports, as those of a deployment have, and an account that every Debian has. The keys by which hosts
and browsers know them stay in the site's folder; what they read lies where that account may look.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from infra.config import STAGES
from local import dockerd_packages, supervise, zone_certificate
from local.dockerd_packages import ROOT_PATH
from local.proxy_folder import ProxyFolder, code_of
from local.run_folder import run_folder

PACKAGES = {"openssh-server": "sshd", "openssh-client": "ssh", "nginx-light": "nginx", "python3": "python3"}
ZONE = STAGES["local"].zone
NUMBERS, DEMO_NUMBERS, BENCH_NUMBERS, TEST_NUMBERS = (
    range(32_000, 32_400),
    range(32_400, 32_500),
    range(32_500, 32_600),
    range(32_600, 32_768),
)
"""Of instances: below those that Linux gives to whoever connects, above those that local hosts open. Sites that run at
the same time have some of their own, since their proxies have the same addresses."""
TUNNEL_PORT = 2222
HTTPS_PORT = 8443
ACCOUNT = "daemon"
"""`nobody` will not do: systemd tells sshd that it is locked."""
MOST = 8
END_TIMEOUT_S = 10
START_TIMEOUT_S = 60
"""Only guards against waiting for ever: it takes a second."""


class ProxyError(Exception):
    """A proxy cannot run here; the sentence says why."""


@dataclass(frozen=True)
class LocalProxies:
    """Nothing of them is there while `count` is 0."""

    state: Path
    count: int = 0
    tunnel_port: int = TUNNEL_PORT
    https_port: int = HTTPS_PORT
    numbers: range = NUMBERS

    def context(self) -> dict[str, str]:
        """What the stage is told of them."""
        return {"tunnel_ends": json.dumps(self.ends()), "proxy": json.dumps(self._for_clients())} if self.count else {}

    def ends(self) -> list[dict[str, Any]]:
        """As hosts see them; their keys are made if there are none."""
        return [
            {
                "address": address(number),
                "port": self.tunnel_port,
                "user": self.account,
                "host_key": _public(self._host_key(number)).decode(),
                "public_address": address(number),
                "loopback_address": address(number),
            }
            for number in self._numbers()
        ]

    def _for_clients(self) -> dict[str, Any]:
        addresses = [address(number) for number in self._numbers()]
        return {
            "addresses": addresses,
            "first_port": self.numbers[0],
            "last_port": self.numbers[-1],
            "https_port": self.https_port,
        }

    def start(self, api_url: str, api_key: str) -> None:
        """What runs this program with these settings stays; what is more than `count` ends. Raises ProxyError."""
        for number in range(self.count + 1, MOST + 1):
            self._stop(number)
        for number in self._numbers():
            self._start(number, self._settings(number, api_url), self._secrets(number, api_key))
        for number in self._numbers():
            self._wait_until_it_listens(number)

    def stop(self) -> bool:
        """All that run, however many were asked for, and what they read. True when there were some."""
        stopped = any([self._stop(number) for number in range(1, MOST + 1)])
        shutil.rmtree(self.folder, ignore_errors=True)
        return stopped

    @property
    def zone_authority(self) -> Path:
        """What a browser must be told to trust here."""
        return self.state / "zone" / "authority.crt"

    @property
    def account(self) -> str:
        """Of the proxies and of whoever opens tunnels to them."""
        return ACCOUNT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    @property
    def folder(self) -> Path:
        """Whoever is not root runs proxies as themselves, and may look into the site's folder."""
        state = self.state.resolve()
        return run_folder("proxies", state) if os.geteuid() == 0 else state / "run"

    def _numbers(self) -> range:
        return range(1, min(self.count, MOST) + 1)

    def _placed(self, number: int) -> ProxyFolder:
        return ProxyFolder(self.folder / name_of(number), self.account)

    def _start(self, number: int, settings: Mapping[str, Any], secrets: Mapping[str, bytes]) -> None:
        code, placed = code_of(settings, secrets), self._placed(number)
        running = supervise.running(name_of(number), state=self.state)
        if running is not None and running.code == code:
            return
        self._stop(number)
        self._wait_until_it_is_free(number)
        placed.fill(settings, secrets)
        command = [sys.executable, "-m", "proxy", "--config", str(placed.config)]
        environment = {"PATH": ROOT_PATH, "PYTHONPATH": str(placed.code)}
        supervise.start(
            name_of(number), command, state=self.state, env=environment, code=code, working_directory=placed.path
        )

    def _stop(self, number: int) -> bool:
        stopped = supervise.stop(name_of(number), state=self.state)
        shutil.rmtree(self._placed(number).path, ignore_errors=True)
        return stopped

    def _wait_until_it_is_free(self, number: int) -> None:
        """What listens there would be taken for the proxy. The sshd of one that was killed ends after it."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while _listens(address(number), self.tunnel_port):
            if time.monotonic() > deadline:
                place = f"{address(number)}:{self.tunnel_port}"
                raise ProxyError(f"Another program listens on {place}, where a proxy would. Look: ss -tlnp; end it.")
            time.sleep(0.05)

    def _wait_until_it_listens(self, number: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _listens(address(number), self.tunnel_port):
            process = supervise.running(name_of(number), state=self.state)
            if process is None:
                log = supervise.log_tail(self.state / f"{name_of(number)}.log")
                raise ProxyError(f"A proxy did not start: {(log.splitlines() or ['it said nothing'])[-1]}")
            if time.monotonic() > deadline:
                raise ProxyError(f"A proxy does not listen on {address(number)}:{self.tunnel_port}; see {process.log}.")
            time.sleep(0.05)

    def _host_key(self, number: int) -> bytes:
        """Made once: hosts know the proxy by it."""
        path = self.state / name_of(number) / "state" / "host_key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_bytes(
                ed25519.Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
                )
            )
            draft.rename(path)
        return path.read_bytes()

    def _secrets(self, number: int, api_key: str) -> dict[str, bytes]:
        """By their path in the proxy's folder; the halves that are public go with them."""
        certificate, key = zone_certificate.provide(self.zone_authority.parent, ZONE)
        host_key = self._host_key(number)
        return {
            "api_key": f"{api_key}\n".encode(),
            "state/host_key": host_key,
            "state/host_key.pub": _public(host_key) + b"\n",
            "zone.crt": certificate.read_bytes(),
            "zone.key": key.read_bytes(),
        }

    def _settings(self, number: int, api_url: str) -> dict[str, Any]:
        return self._placed(number).settings() | {
            "api_url": api_url,
            "zone": ZONE,
            "user": self.account,
            "public_address": address(number),
            "loopback_address": address(number),
            "tunnel_address": address(number),
            "tunnel_port": self.tunnel_port,
            "https_port": self.https_port,
        }


def address(number: int) -> str:
    return f"127.0.0.{number}"


def name_of(number: int) -> str:
    return f"proxy-{number}"


def ensure_packages() -> None:
    """Raises MissingPackagesError with the line that installs what is missing."""
    absent = [package for package, program in PACKAGES.items() if shutil.which(program, path=ROOT_PATH) is None]
    dockerd_packages.provide_without_starting(absent)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _public(host_key: bytes) -> bytes:
    return (
        serialization.load_ssh_private_key(host_key, password=None)
        .public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
