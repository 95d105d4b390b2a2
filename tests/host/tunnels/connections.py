"""A proxy of paper: what its sshd would permit, and the connections that hosts have to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpulease_host.tunnels.forwards import Forward
from gpulease_host.tunnels.proxies import Proxy, parse_proxies

KEY = "ssh-ed25519 " + "A" * 68


def named(address: str = "proxy.example", **changes: Any) -> dict[str, Any]:
    """As the service names a proxy."""
    listens = {"public_address": "0.0.0.0", "loopback_address": "127.0.0.1"}
    return {"address": address, "port": 2222, "user": "tunnel", "host_key": KEY, **listens, **changes}


def proxy(address: str = "proxy.example") -> Proxy:
    return parse_proxies({"v": 1, "proxies": [named(address)]})[0]


@dataclass
class PaperProxy:
    """`permitted` is what the next connection may listen on; `lets_in` whether it is let in at all."""

    permitted: set[int] = field(default_factory=set)
    lets_in: bool = True
    is_up_at_once: bool = True
    connections: list[PaperConnection] = field(default_factory=list)

    def connect(self, _proxy: Proxy, _key: Path) -> PaperConnection:
        made = PaperConnection(self, frozenset(self.permitted), is_alive=self.lets_in, is_let_in=self.is_up_at_once)
        self.connections.append(made)
        return made

    @property
    def alive(self) -> list[PaperConnection]:
        return [each for each in self.connections if each.is_alive]

    def listening(self) -> dict[int, str]:
        """Port and specification of all that is forwarded now."""
        return {forward.way.port: forward.spec for each in self.alive for forward in each.forwards}


@dataclass
class PaperConnection:
    proxy: PaperProxy
    permitted: frozenset[int]
    is_alive: bool
    is_let_in: bool
    forwards: list[Forward] = field(default_factory=list)
    last_words: str = ""

    @property
    def is_up(self) -> bool:
        return self.is_alive and self.is_let_in

    def add(self, forward: Forward) -> bool:
        if forward.way.port not in self.permitted or forward.way.port in self.proxy.listening():
            return False
        self.forwards.append(forward)
        return True

    def cancel(self, forward: Forward) -> None:
        self.forwards.remove(forward)

    def close(self) -> None:
        self.is_alive = False

    def break_off(self) -> None:
        self.is_alive = False
        self.last_words = "Connection reset by peer"
