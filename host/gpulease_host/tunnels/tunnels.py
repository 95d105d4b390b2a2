"""Keeps every proxy of the deployment leading to what runs here, and to nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from gpulease_host.api import ApiError, ApiRefusedError
from gpulease_host.backoff import Backoff
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.tunnels.connection import Connect
from gpulease_host.tunnels.forwards import forwards, ways
from gpulease_host.tunnels.proxies import Proxy, parse_proxies
from gpulease_host.tunnels.proxy_link import ProxyLink
from gpulease_host.tunnels.tunnel_key import TunnelKey
from gpulease_host.wire import WireError
from gpulease_host.world import World

LOOK_S = 0.5
ASK_AGAIN_S = 600
OF_ANOTHER_HOST = "conflict"
"""What the service says to a tunnel key that it knows as another host's, as in a folder that was copied."""


class TunnelApi(Protocol):
    def open_tunnel(self, public_key: str) -> Any:
        """Make the tunnel key known; answers the proxies. Raises ApiError."""
        ...


class Tunnels:
    """`step` belongs to one thread; `withdraw` may be called by any."""

    def __init__(
        self,
        *,
        api: TunnelApi,
        ledger: Ledger,
        world: World,
        key_path: Path,
        connect: Connect,
        elapsed: Callable[[], float],
        random: Callable[[], float],
        log: Log,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._world = world
        self._key_path = key_path
        self._connect = connect
        self._elapsed = elapsed
        self._random = random
        self._log = log
        self._lock = threading.Lock()
        self._links: dict[Proxy, ProxyLink] = {}
        self._ask_at = float("-inf")
        self._asking = Backoff(1.0, 60.0, random)

    def step(self) -> float:
        """Bring the forwards to what is wanted; answers the seconds to the next look."""
        self._learn_proxies()
        with self._lock:
            # Looked at under the lock: what was withdrawn meanwhile is not wanted any more.
            wanted = ways(self._ledger.view().records, self._world.last_seen)
            for proxy, link in self._links.items():
                link.step(forwards(proxy, wanted), self._elapsed())
        return LOOK_S

    def withdraw(self, instance_id: int) -> None:
        """Before its container's address is free for another: on return nothing new is led there.

        The order that it is removed by must be in the ledger already, or the next look would lead there again.
        """
        with self._lock:
            for link in self._links.values():
                link.withdraw(instance_id)

    def close(self) -> None:
        with self._lock:
            for link in self._links.values():
                link.close()
            self._links = {}

    def _learn_proxies(self) -> None:
        """Only where an instance has a number on them; the key is made known again each time, which changes nothing."""
        now = self._elapsed()
        orders = [record.order for record in self._ledger.view().records.values()]
        is_needed = any(order.proxy_ssh_port or order.proxy_jupyter_port for order in orders)
        if now < self._ask_at or not is_needed:
            return
        try:
            key = TunnelKey.provide(self._key_path)
            proxies = parse_proxies(self._api.open_tunnel(key.public))
        except (ApiError, WireError, OSError, ValueError) as error:
            self._log.say("proxies not learnt", reason=str(error))
            if isinstance(error, ApiRefusedError) and error.code == OF_ANOTHER_HOST:
                with suppress(OSError):
                    self._key_path.unlink()  # the next try makes a new one
            self._ask_at = now + self._asking.failed("ask")
            return
        self._asking.succeeded("ask")
        self._ask_at = now + ASK_AGAIN_S
        self._take(proxies)

    def _take(self, proxies: tuple[Proxy, ...]) -> None:
        with self._lock:
            for gone in self._links.keys() - set(proxies):
                self._links.pop(gone).close()
            for proxy in proxies:
                if proxy not in self._links:
                    backoff = Backoff(0.5, 30.0, self._random)
                    self._links[proxy] = ProxyLink(proxy, self._key_path, self._connect, backoff, self._log)
