"""Which number each published port of a contract gets on its host, and each instance on the deployment's proxy.

A host's numbers are given out in its manifest, for the whole life of the contract: the lowest that nobody holds, all
or none. tcp and udp are numbered apart. The proxy's are drawn by the caller, since other hosts take from them too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from rental.domain.allocation import Manifest
from rental.domain.book import Book, Cause
from rental.domain.contract import Instance, Launch
from rental.domain.errors import NoPortsFreeError, NotReachableError
from rental.domain.ids import ContractId
from rental.domain.ways_in import (
    WAYS_IN,
    ContainerPort,
    Direct,
    HostPort,
    Proxy,
    PublishedPort,
    Transport,
    ports_of_mode,
    proxy_ports_of,
    settle_jupyter_via,
)

TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")
MAX_PORTS_PER_HOST = 8192
"""A manifest is one item, and ranges may move while numbers of old ones are held."""


def settle(launch: Launch, direct: Direct | None, proxy: Proxy | None) -> Launch:
    """The launch with its one way to JupyterLab; raises NotReachableError where there is no way for what it asks."""
    via = settle_jupyter_via(launch.mode, launch.jupyter_via, proxy)
    if direct is None and launch.ports:
        raise NotReachableError("The host has no open ports. Choose another offer, or leave ports out.")
    if direct is None and via == "direct":
        raise NotReachableError("The host has no open ports for JupyterLab. Choose another offer, or another way.")
    if direct is not None and via == "direct" and not direct.is_seen_outside:
        raise NotReachableError(
            f"No certificate can be had for {direct.address}: it is not a public IPv4 address. Ask for jupyter_via"
            " proxy, or choose another offer."
        )
    if proxy is None and via == "proxy":
        raise NotReachableError("This deployment has no proxy. Ask for jupyter_via direct.")
    if direct is None and proxy is None and launch.mode in WAYS_IN:
        raise NotReachableError("The host has no open ports, and this deployment has no proxy. Choose another offer.")
    return replace(launch, jupyter_via=via)


def publish(manifest: Manifest, launch: Launch, instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """The instances with their numbers on the host, of a launch that is settled; raises NoPortsFreeError."""
    direct = manifest.direct
    if direct is None:
        return tuple(instances)
    wanted = (*ports_of_mode(launch.mode, launch.jupyter_via), *launch.ports)
    _check_room(manifest, len(wanted) * len(instances))
    free = {protocol: _free_numbers(manifest, direct, protocol) for protocol in TRANSPORTS}
    return tuple(replace(each, ports=tuple(_take(free, port) for port in wanted)) for each in instances)


def renumber(book: Book, contract_id: ContractId, instance: Instance, now: int) -> Book | None:
    """The book with the instance wanted anew under other numbers, for those that its host says are in use.

    None where that is not why it failed to start, or no number is left. Only for what never ran: a container keeps its
    numbers for life. Each try takes a number out of the range, and `provision_by` ends them.
    """
    in_use, direct = set(book.manifest.ports_in_use), book.manifest.direct
    clashing = [port for port in instance.ports if HostPort(port.protocol, port.host) in in_use]
    if not clashing or direct is None:
        return None
    free = {protocol: _free_numbers(book.manifest, direct, protocol) for protocol in TRANSPORTS}
    try:
        ports = tuple(
            _take(free, ContainerPort(port.container, port.protocol)) if port in clashing else port
            for port in instance.ports
        )
    except NoPortsFreeError:
        return None
    again = replace(instance.want(instance.desired, now), ports=ports)
    book = book.with_contract(book.contract(contract_id).with_instance(again))
    numbers = ", ".join(f"{port.host}/{port.protocol}" for port in clashing)
    reason = f"Something of the host's has its port {numbers}: it is started under another number."
    cause = Cause("service", "port in use")
    book = book.note(contract_id, again.status, now, cause, instance_id=again.id, reason=reason)
    return book.ring(contract_id, again)


def has_free_ports(manifest: Manifest, wanted: Sequence[ContainerPort]) -> bool:
    """Whether the host has a number for each of these tcp ports, or has no open ports and so needs none."""
    direct = manifest.direct
    if direct is None:
        return True
    free = islice(_free_numbers(manifest, direct, "tcp"), len(wanted))
    return len(list(free)) == len(wanted) and _count_ports(manifest) + len(wanted) <= MAX_PORTS_PER_HOST


def count_proxy_ports(launch: Launch, instances: int, proxy: Proxy | None) -> int:
    """How many numbers of the proxy a contract takes."""
    via = settle_jupyter_via(launch.mode, launch.jupyter_via, proxy)
    return proxy_ports_of(launch.mode, via, proxy) * instances


def number(launch: Launch, instances: Sequence[Instance], proxy_ports: Sequence[int]) -> tuple[Instance, ...]:
    """The instances with the numbers of the proxy that were drawn for them, if any."""
    if not proxy_ports:
        return tuple(instances)
    drawn = iter(proxy_ports)
    jupyter = launch.jupyter_via == "proxy"
    return tuple(
        replace(each, proxy_ssh_port=next(drawn), proxy_jupyter_port=next(drawn) if jupyter else None)
        for each in instances
    )


def _check_room(manifest: Manifest, more: int) -> None:
    if _count_ports(manifest) + more > MAX_PORTS_PER_HOST:
        raise NoPortsFreeError(f"The host would publish over {MAX_PORTS_PER_HOST} ports. Choose another offer.")


def _count_ports(manifest: Manifest) -> int:
    return sum(len(claim.tcp_ports) + len(claim.udp_ports) for claim in manifest.claims.values())


def _free_numbers(manifest: Manifest, direct: Direct, protocol: Transport) -> Iterator[int]:
    held = {
        port
        for claim in manifest.claims.values()
        for port in (claim.tcp_ports if protocol == "tcp" else claim.udp_ports)
    } | {each.port for each in manifest.ports_in_use if each.protocol == protocol}
    return (port for port in range(direct.first_port, direct.last_port + 1) if port not in held)


def _take(free: dict[Transport, Iterator[int]], port: ContainerPort) -> PublishedPort:
    chosen = next(free[port.protocol], None)
    if chosen is None:
        raise NoPortsFreeError("The host has too few open ports left. Ask for fewer, or choose another offer.")
    return PublishedPort(port.container, port.protocol, chosen)
