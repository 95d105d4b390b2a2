"""Proxies of a local site, each at a loopback address of its own: 127.0.0.1, then 127.0.0.2 and so on.

They have the same ports, as those of a deployment have, and an account that every Debian has. What they need to read
must be readable by it, so a checkout below a home folder of mode 0700 will not do.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.config import STAGES
from local import dockerd_packages, supervise, zone_certificate
from local.dockerd_packages import ROOT_PATH
from local.sources import fingerprint

PACKAGES = {"openssh-server": "sshd", "openssh-client": "ssh", "nginx-light": "nginx", "python3": "python3"}
ZONE = STAGES["local"].zone
FIRST_PORT, LAST_PORT = 32_000, 32_767
"""Numbers of instances: below those that Linux gives to whoever connects, above those that local hosts open."""
TUNNEL_PORT = 2222
HTTPS_PORT = 8443
ACCOUNT = "daemon"
"""`nobody` will not do: systemd tells sshd that it is locked."""
MOST = 8
SOURCES = ("proxy",)


class ProxyError(Exception):
    """A proxy cannot run here; the sentence says why."""


@dataclass(frozen=True)
class LocalProxies:
    """Nothing of them is there while `count` is 0."""

    state: Path
    count: int = 0
    tunnel_port: int = TUNNEL_PORT
    https_port: int = HTTPS_PORT

    def context(self) -> dict[str, str]:
        """What the stage is told of them. Raises ProxyError."""
        return {"tunnel_ends": json.dumps(self.ends()), "proxy": json.dumps(self._for_clients())} if self.count else {}

    def ends(self) -> list[dict[str, Any]]:
        """As hosts see them; their keys are made if there are none. Raises ProxyError."""
        self.check_readable()
        return [
            {
                "address": address(number),
                "port": self.tunnel_port,
                "user": account(),
                "host_key": self._host_key(number),
                "public_address": address(number),
                "loopback_address": address(number),
            }
            for number in self._numbers()
        ]

    def _for_clients(self) -> dict[str, Any]:
        addresses = [address(number) for number in self._numbers()]
        return {
            "addresses": addresses,
            "first_port": FIRST_PORT,
            "last_port": LAST_PORT,
            "https_port": self.https_port,
        }

    def start(self, api_url: str, api_key: str) -> None:
        """What runs this program with these settings stays; what is more than `count` ends."""
        for number in range(self.count + 1, MOST + 1):
            supervise.stop(f"proxy-{number}", state=self.state)
        for number in self._numbers():
            key = self._folder(number) / "api_key"
            key.touch(mode=0o600)
            key.write_text(api_key + "\n")
            shutil.chown(key, account())
            config = self._write_config(number, api_url)
            command = [sys.executable, "-m", "proxy", "--config", str(config)]
            code = fingerprint(supervise.ROOT, SOURCES, context=config.read_text())
            supervise.start(f"proxy-{number}", command, state=self.state, env=_environment(), code=code)

    def stop(self) -> bool:
        """All that run, however many were asked for. True when there were some."""
        return any([supervise.stop(f"proxy-{number}", state=self.state) for number in range(1, MOST + 1)])

    @property
    def zone_authority(self) -> Path:
        """What a browser must be told to trust here."""
        return self.state / "zone" / "authority.crt"

    def _numbers(self) -> range:
        return range(1, min(self.count, MOST) + 1)

    def _folder(self, number: int) -> Path:
        folder = self.state / f"proxy-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _host_key(self, number: int) -> str:
        config = self._write_config(number, "http://127.0.0.1")
        command = [sys.executable, "-m", "proxy", "--config", str(config), "--host-key"]
        environment = _environment()
        said = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=supervise.ROOT, check=False)
        if said.returncode != 0:
            raise ProxyError(said.stderr.strip())
        return said.stdout.strip()

    def _write_config(self, number: int, api_url: str) -> Path:
        folder = self._folder(number)
        certificate, key = zone_certificate.provide(self.zone_authority.parent, ZONE, account())
        settings = {
            "api_url": api_url,
            "api_key_file": str(folder / "api_key"),
            "state": str(folder / "state"),
            "zone": ZONE,
            "user": account(),
            "public_address": address(number),
            "loopback_address": address(number),
            "tunnel_address": address(number),
            "tunnel_port": self.tunnel_port,
            "https_port": self.https_port,
            "tls_certificate": str(certificate),
            "tls_key": str(key),
        }
        path = folder / "config.json"
        path.write_text(json.dumps(settings, indent=2) + "\n")
        return path

    def check_readable(self) -> None:
        """Raises ProxyError where proxies of this checkout could not run."""
        for folder in (self.state.resolve(), supervise.ROOT):
            closed = [each for each in (folder, *folder.parents) if each.exists() and not each.stat().st_mode & 0o001]
            if os.geteuid() == 0 and closed:
                raise ProxyError(f"Proxies run as {ACCOUNT}, who may not look into {closed[-1]}. Move this checkout.")


def address(number: int) -> str:
    return f"127.0.0.{number}"


def account() -> str:
    """Of the proxies and of whoever opens tunnels to them."""
    return ACCOUNT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def ensure_packages() -> None:
    """Raises MissingPackagesError with the line that installs what is missing."""
    absent = [package for package, program in PACKAGES.items() if shutil.which(program, path=ROOT_PATH) is None]
    dockerd_packages.provide_without_starting(absent)


def _environment() -> dict[str, str]:
    return {"PATH": ROOT_PATH, "PYTHONPATH": str(supervise.ROOT)}
