"""The network rules that hold for every tenant: to the internet, and nowhere else.

They match interfaces by the prefix of their names, so a new contract needs no new rule. Two chains of ours, filled in
one transaction each, hang first in INPUT (a container reaches its host there, and Docker's own chains do not see it)
and in FORWARD: through DOCKER-USER, which Docker leaves alone, or directly for IPv6.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.engine import EngineError

TENANTS = "gl-+"
INPUT_CHAIN = "GPULEASE-INPUT"
FORWARD_CHAIN = "GPULEASE-FORWARD"
WAIT_S = "10"
LOCK = Path("/run/gpulease-firewall.lock")

CLOSED_V4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
CLOSED_V6 = (
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class FirewallError(EngineError):
    """Tenants cannot be kept apart, so none may start."""

    code = "firewall_refused"


@dataclass(frozen=True)
class Family:
    """One IP version: its program, where forwarded packets are judged, and what is closed."""

    program: str
    forward_hook: str
    closed: Sequence[str]
    version: int


V4 = Family("iptables", "DOCKER-USER", CLOSED_V4, 4)
V6 = Family("ip6tables", "FORWARD", CLOSED_V6, 6)

# Runs a program with its standard input and answers its exit status and what it said.
Run = Callable[[Sequence[str], str], tuple[int, str]]


def run_program(command: Sequence[str], text: str) -> tuple[int, str]:
    environment = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError as error:
        return 127, str(error)
    return done.returncode, done.stderr + done.stdout


class Firewall:
    def __init__(
        self, run: Run = run_program, resolver_files: Sequence[Path] = RESOLVER_FILES, lock: Path = LOCK
    ) -> None:
        self._run = run
        self._lock = lock
        self._resolver_files = resolver_files

    def ensure(self) -> None:
        """Idempotent, and never a moment without the rules once they are there; one daemon at a time."""
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._ensure()

    def _ensure(self) -> None:
        resolvers = nameservers(self._resolver_files)
        for family in (V4, V6):
            own = [address for address in resolvers if ipaddress.ip_address(address).version == family.version]
            self._check([f"{family.program}-restore", "--noflush", "--wait", WAIT_S], chains(family, own))
            self._hook(family, family.forward_hook, FORWARD_CHAIN)
            self._hook(family, "INPUT", INPUT_CHAIN)

    def _hook(self, family: Family, chain: str, target: str) -> None:
        """First in its chain: a rule before it could let a tenant through."""
        jump = ["-i", TENANTS, "-j", target]
        _, listed = self._run([family.program, "-w", WAIT_S, "-S", chain, "1"], "")
        if listed.split() == ["-A", chain, *jump]:
            return
        self._check([family.program, "-w", WAIT_S, "-I", chain, "1", *jump], "")
        self._delete_duplicates(family, chain, jump)

    def _delete_duplicates(self, family: Family, chain: str, jump: Sequence[str]) -> None:
        _, listed = self._run([family.program, "-w", WAIT_S, "-S", chain], "")
        rules = [line.split() for line in listed.splitlines() if line.startswith("-A ")]
        positions = [position for position, rule in enumerate(rules, start=1) if rule == ["-A", chain, *jump]]
        for position in reversed(positions[1:]):
            self._run([family.program, "-w", WAIT_S, "-D", chain, str(position)], "")

    def _check(self, command: Sequence[str], text: str) -> None:
        status, said = self._run(command, text)
        if status != 0:
            raise FirewallError(f"the network rules could not be set: {' '.join(command)}: {said.strip()}")


def chains(family: Family, resolvers: Sequence[str]) -> str:
    """Both chains, as iptables-restore reads them. DNS is the exception: resolvers are often at private addresses."""
    dns = [f"-d {resolver} -p {protocol} --dport 53 -j" for resolver in resolvers for protocol in ("udp", "tcp")]
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED -j"
    lines = ["*filter", f":{INPUT_CHAIN} - [0:0]", f":{FORWARD_CHAIN} - [0:0]"]
    lines += [f"-A {INPUT_CHAIN} {rule} ACCEPT" for rule in [answers, *dns]]
    lines += [f"-A {INPUT_CHAIN} -j DROP"]
    # Two instances of one contract talk across their own bridge, which routes nothing.
    lines += [f"-A {FORWARD_CHAIN} {rule} RETURN" for rule in [answers, "-m physdev --physdev-is-bridged -j", *dns]]
    lines += [f"-A {FORWARD_CHAIN} -o {TENANTS} -j DROP"]
    lines += [f"-A {FORWARD_CHAIN} -d {closed} -j DROP" for closed in family.closed]
    return "\n".join([*lines, "COMMIT", ""])


def nameservers(files: Sequence[Path]) -> list[str]:
    """The resolvers containers are given: Docker copies the machine's, and asks loopback ones itself."""
    found: list[str] = []
    for file in files:
        lines = file.read_text().splitlines() if file.is_file() else []
        found += [line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1]
    addresses = [_address(text) for text in found]
    return sorted({str(address) for address in addresses if address is not None and not address.is_loopback})


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
