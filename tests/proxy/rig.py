"""A real proxy on loopback, as its own process, and real ssh clients for its hosts."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local.ports import free_port
from local.proxy_folder import copy_code
from tests.proxy.service import KEY

ROOT = Path(__file__).resolve().parents[2]
ZONE = "jupyter.localhost"
PATIENCE_S = 20.0


def account() -> str:
    """Root starts it, and it becomes one that every Debian has, and that no site's proxies have beside these tests."""
    return "bin" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def wait_for(what: Callable[[], object], why: Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


def accepts(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


class Served(Protocol):
    """A service that answers somewhere."""

    @property
    def url(self) -> str: ...


@dataclass
class ProxyRig:
    """One proxy at one loopback address. `start` may follow `stop` or `kill`: its state stays."""

    folder: Path
    address: str
    service: Served
    tls: tuple[Path, Path] | None = None
    tunnel_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> ProxyRig:
        key = self.folder / "api_key"
        key.write_text(KEY + "\n")
        key.chmod(0o600)
        shutil.chown(key, account())
        config = self.folder / "config.json"
        named = {
            "api_url": self.service.url,
            "api_key_file": str(key),
            "state": str(self.folder / "state"),
            "zone": ZONE,
            "user": account(),
            "public_address": self.address,
            "loopback_address": self.address,
            "tunnel_address": self.address,
            "tunnel_port": self.tunnel_port,
            "https_port": self.https_port,
        }
        if self.tls is not None:
            named |= {"tls_certificate": str(self.tls[0]), "tls_key": str(self.tls[1])}
        config.write_text(json.dumps(named))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "--config", str(config)],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(self._code())},
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: accepts(self.address, self.tunnel_port), self.said)
        return self

    def _code(self) -> Path:
        """Where the account may look, which it may not where the checkout lies in root's home."""
        code = self.folder / "code"
        if not code.exists():
            copy_code(code)
        return code

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "state/host_key.pub").read_text().split()[:2])

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> None:
        """Without warning; what it had started learns of it from the kernel."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class TunnelKey:
    """A host's tunnel key."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> TunnelKey:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return cls(path)

    @property
    def public(self) -> str:
        return self.path.with_name(self.path.name + ".pub").read_text().strip()

    def command(self, proxy: ProxyRig, *arguments: str, host_key: str | None = None) -> list[str]:
        known = self.path.with_name(f"known-{proxy.tunnel_port}")
        known.write_text(f"[{proxy.address}]:{proxy.tunnel_port} {host_key or proxy.host_key}\n")
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(known),
            "StrictHostKeyChecking": "yes",
            "ExitOnForwardFailure": "yes",
            "ConnectTimeout": "5",
        }
        named = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        port = str(proxy.tunnel_port)
        return [
            "ssh",
            "-F",
            "/dev/null",
            "-i",
            str(self.path),
            "-p",
            port,
            *named,
            *arguments,
            f"{account()}@{proxy.address}",
        ]

    def connect(self, proxy: ProxyRig, *arguments: str) -> subprocess.Popen[str]:
        """Stays connected until it is ended."""
        return subprocess.Popen(
            self.command(proxy, "-N", *arguments), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def try_to(self, proxy: ProxyRig, *arguments: str, host_key: str | None = None) -> subprocess.CompletedProcess[str]:
        """What must not work: it ends by itself."""
        command = self.command(proxy, *arguments, host_key=host_key)
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
