"""The resolvers that containers are given: the machine's own, or those that Docker was told."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gpulease_host.docker_engine.dockerd_settings import DockerdSettings, running_dockerds

RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def nameservers(
    files: Sequence[Path] = RESOLVER_FILES, dockerds: Callable[[], Iterable[DockerdSettings]] = running_dockerds
) -> list[str]:
    """Docker copies the machine's unless it has its own, and asks loopback ones itself; others the container asks."""
    found = [address for dockerd in dockerds() for address in dockerd.dns]
    for file in files:
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
        found += [line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1]
    addresses = [_address(text) for text in found]
    return sorted({str(address) for address in addresses if address is not None and not address.is_loopback})


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
