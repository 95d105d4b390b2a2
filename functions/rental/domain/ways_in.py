"""How people get into containers: on the host's own address (`direct`), and over the deployment's proxy.

    client ──► address of the host : a number of its range ──► container     direct: published ports, ssh, JupyterLab
    client ──► address of a proxy : a number of its range ──► container      proxy: ssh, JupyterLab

Where a host's owner has declared an address, what is published gets numbers of its range. Where the deployment has a
proxy, ssh gets a number of the proxy's, and so does JupyterLab unless it is reached directly: there is one way to it.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rental.domain.errors import InvalidRequestError

Transport = Literal["tcp", "udp"]
JupyterVia = Literal["proxy", "direct"]

SSH_PORT = 10022
JUPYTER_PORT = 10088
"""Where sshd and JupyterLab listen in containers of these modes; tcp."""
WAYS_IN = ("ssh", "jupyter")
"""The modes of a launch in which people get in; both with ssh."""
FIRST_PORT, LAST_PORT = 1024, 65_535
MAX_DIRECT_PORTS = 4096
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")))
"""Behind somebody's translation of addresses: RFC 1918 and RFC 6598."""


@dataclass(frozen=True)
class ContainerPort:
    """A port that a container listens on."""

    container: int
    protocol: Transport


SSH, JUPYTER = ContainerPort(SSH_PORT, "tcp"), ContainerPort(JUPYTER_PORT, "tcp")


@dataclass(frozen=True)
class PublishedPort:
    """A container's port, and the number that the host publishes it under."""

    container: int
    protocol: Transport
    host: int


@dataclass(frozen=True)
class HostPort:
    """A number of a host."""

    protocol: Transport
    port: int


@dataclass(frozen=True)
class Direct:
    """Where a host is reached from outside: an IP address, and a range of ports that lead to this machine."""

    address: str
    first_port: int
    last_port: int

    @property
    def is_seen_outside(self) -> bool:
        """Whether the service can see a host come from this address, and so vouch for it: it is reached over IPv4."""
        parsed = ipaddress.ip_address(self.address)
        return parsed.version == 4 and not any(parsed in network for network in PRIVATE)


@dataclass(frozen=True)
class Proxy:
    """The deployment's proxies: all lead the same numbers to the same instances. `zone` is a DNS name."""

    addresses: tuple[str, ...]
    zone: str
    first_port: int
    last_port: int
    https_port: int = 443

    @property
    def ports(self) -> range:
        return range(self.first_port, self.last_port + 1)

    def jupyter_url(self, instance_id: int) -> str:
        port = "" if self.https_port == 443 else f":{self.https_port}"
        return f"https://j-{instance_id}.{self.zone}{port}/"


def declare(address: str, first_port: int, last_port: int, *, allow_loopback: bool) -> Direct:
    """What an owner says of a host, in its canonical form; raises InvalidRequestError."""
    if not FIRST_PORT <= first_port <= last_port <= LAST_PORT:
        raise InvalidRequestError(f"The range must lie within {FIRST_PORT} to {LAST_PORT}, its first port not last.")
    if last_port - first_port >= MAX_DIRECT_PORTS:
        raise InvalidRequestError(f"A range may have at most {MAX_DIRECT_PORTS} ports.")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise InvalidRequestError("address must be an IPv4 address, not a name.") from error
    if not isinstance(parsed, ipaddress.IPv4Address):
        raise InvalidRequestError(
            "Hosts publish ports on IPv4 only, so nobody would get in at an IPv6 address. Give the IPv4 address, or "
            "none: over a proxy of the deployment ssh and JupyterLab need none."
        )
    if not _is_unicast(parsed) and not (parsed.is_loopback and allow_loopback):
        raise InvalidRequestError("address must be a public or private address that machines elsewhere can reach.")
    return Direct(str(parsed), first_port, last_port)


def settle_jupyter_via(mode: str, wish: JupyterVia | None, proxy: Proxy | None) -> JupyterVia | None:
    """Which one way leads to JupyterLab: the client's wish, or else the proxy where there is one."""
    if mode != "jupyter":
        return None
    return wish or ("proxy" if proxy is not None else "direct")


def ports_of_mode(mode: str, via: JupyterVia | None) -> Iterator[ContainerPort]:
    """What a mode has published on a host that has an address."""
    if mode in WAYS_IN:
        yield SSH
    if via == "direct":
        yield JUPYTER


def proxy_ports_of(mode: str, via: JupyterVia | None, proxy: Proxy | None) -> int:
    """How many numbers of the proxy an instance takes: for ssh, and for JupyterLab where that is its way."""
    if proxy is None or mode not in WAYS_IN:
        return 0
    return 1 + (via == "proxy")


def _is_unicast(address: ipaddress.IPv4Address) -> bool:
    return not (
        address in THIS_NETWORK
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    )
