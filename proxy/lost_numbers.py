"""How long a host has held numbers that are no longer its own, whichever of its connections listened there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from proxy.hosts import Login
from proxy.listeners import Listener


@dataclass(frozen=True)
class Connection:
    """A login, and what listens for it, if anything does."""

    login: Login
    listener: Listener | None

    @property
    def pid(self) -> int:
        return self.listener.pid if self.listener is not None else self.login.pid

    @property
    def ports(self) -> frozenset[int]:
        return self.listener.ports if self.listener is not None else frozenset()


@dataclass
class LostNumbers:
    """Of one host. What its connections were permitted and the service does not permit now is lost.

    An honest host gives a lost number back at once, and may go on with its others over the same connection. So time
    counts only while somebody listens there, and it adds up; it is forgotten when the number is permitted again, or
    when no connection is left that was permitted it.
    """

    most_s: float
    _held_s: dict[int, float] = field(default_factory=dict, init=False)
    _listened: frozenset[int] = field(default=frozenset(), init=False)
    _nothing_since: float | None = field(default=None, init=False)

    def are_held(self, connections: Collection[Connection]) -> bool:
        return not self._held_s.keys().isdisjoint(_listened(connections))

    def are_taken_up(self, connections: Collection[Connection]) -> bool:
        """Whether it listens on a lost one where it did not a look ago. It may have been permitted again meanwhile."""
        return not self._held_s.keys().isdisjoint(_listened(connections) - self._listened)

    def count(
        self, connections: Collection[Connection], permitted: frozenset[int], now: float, passed_s: float
    ) -> None:
        """`passed_s`: since the look before."""
        listened = _listened(connections)
        opened = frozenset[int]().union(*(each.login.ports for each in connections))
        self._held_s = {
            port: self._held_s[port] + passed_s * (port in listened) if port in self._held_s else 0.0
            for port in opened - permitted
        }
        self._listened = listened
        if permitted:
            self._nothing_since = None
        elif self._nothing_since is None:
            self._nothing_since = now

    def why_end(self, connection: Connection, now: float) -> str | None:
        if self._nothing_since is not None and now - self._nothing_since >= self.most_s:
            return "its host may listen nowhere any more"
        overheld = [port for port in sorted(connection.login.ports) if self._held_s.get(port, 0.0) >= self.most_s]
        return f"port {overheld[0]} is no longer its host's" if overheld else None


def _listened(connections: Collection[Connection]) -> frozenset[int]:
    return frozenset[int]().union(*(each.ports for each in connections))
