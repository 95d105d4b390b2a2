"""Which ports of a proxy lead to which containers now. Only to what runs, is wanted running, and has its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gpulease_host.engine import WAYS_IN, Container, Order
from gpulease_host.records import Record
from gpulease_host.toolkit import layout
from gpulease_host.tunnels.proxies import Proxy

LED_TO = frozenset({"loading", "running"})


@dataclass(frozen=True)
class Way:
    """A number on the proxies, the same on each, and the container's port behind it."""

    instance_id: int
    port: int
    is_public: bool
    target: str
    target_port: int


@dataclass(frozen=True)
class Forward:
    """A way on one proxy, as ssh is told it."""

    way: Way
    listen: str

    @property
    def spec(self) -> str:
        return f"{self.listen}:{self.way.port}:{self.way.target}:{self.way.target_port}"


def ways(records: Mapping[int, Record], containers: Iterable[Container]) -> tuple[Way, ...]:
    """A container's address may be another after each start; while it is unknown, nothing leads there."""
    addresses = {each.instance_id: each.address for each in containers if each.status == "running"}
    return tuple(
        way
        for instance_id, record in records.items()
        if record.status in LED_TO and record.order.desired == "running"
        for way in _ways_to(record.order, addresses.get(instance_id))
    )


def forwards(proxy: Proxy, wanted: Iterable[Way]) -> dict[int, Forward]:
    """By port."""
    listen = {True: proxy.public_address, False: proxy.loopback_address}
    return {way.port: Forward(way, listen[way.is_public]) for way in wanted}


def _ways_to(order: Order, address: str | None) -> Iterator[Way]:
    if not address or order.mode not in WAYS_IN:
        return
    if order.proxy_ssh_port is not None:
        yield Way(order.instance_id, order.proxy_ssh_port, True, address, layout.SSH_PORT)
    if order.proxy_jupyter_port is not None and order.mode == "jupyter":
        yield Way(order.instance_id, order.proxy_jupyter_port, False, address, layout.JUPYTER_PORT)
