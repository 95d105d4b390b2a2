"""Someone who rents: goes in by ssh, scp, sftp and forwarded ports, with the programs that people have."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.host.docker_engine.bench import wait_until

TIMEOUT_S = 60


@dataclass(frozen=True)
class Visitor:
    key: Path
    known_hosts: Path
    port: int
    address: str = "127.0.0.1"

    @classmethod
    def new(cls, folder: Path, port: int, name: str = "visitor") -> Visitor:
        key = folder / name
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
        return cls(key, folder / "known_hosts", port)

    @property
    def public(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    def ssh(self, *command: str, options: Sequence[str] = (), stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ssh", *self._options(), "-p", str(self.port), *options, f"root@{self.address}", *command],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=TIMEOUT_S,
            check=False,
        )

    def said(self, *command: str) -> str:
        done = self.ssh(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def open(self, *command: str, options: Sequence[str] = ()) -> subprocess.Popen[str]:
        """A session that stays; whoever opens it ends it."""
        return subprocess.Popen(
            ["ssh", *self._options(), "-p", str(self.port), *options, f"root@{self.address}", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def scp(self, source: str, target: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self._copy(["scp", *self._options(), "-P", str(self.port), *options, source, target])

    def sftp(self, commands: str) -> subprocess.CompletedProcess[str]:
        return self._copy(
            ["sftp", *self._options(), "-P", str(self.port), "-b", "-", f"root@{self.address}"], stdin=commands
        )

    def _copy(self, command: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=TIMEOUT_S, check=False)

    def _options(self) -> list[str]:
        known = [f"UserKnownHostsFile={self.known_hosts}", "GlobalKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        strict = ["StrictHostKeyChecking=accept-new", "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none"]
        pairs = [each for option in [*known, *strict] for each in ("-o", option)]
        return ["-F", "/dev/null", "-i", str(self.key), *pairs]


def answers(port: int, address: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((address, port), 1):
            return True
    except OSError:
        return False


def wait_for_port(port: int) -> None:
    wait_until(lambda: answers(port), 20)
