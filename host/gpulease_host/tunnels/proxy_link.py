"""The connections to one proxy: one, and for as long as it takes a second.

What a connection may listen on is settled when the proxy lets it in. A contract that is made later needs a newer
connection; the ports of the older ones stay where they are, with the sessions that run over them, until their own
containers stop. So the newest carries what came last, and an older one is ended when nothing is left on it. After a
break all come together on one again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpulease_host.backoff import Backoff
from gpulease_host.log import Log
from gpulease_host.tunnels.connection import Connect, Connection
from gpulease_host.tunnels.forwards import Forward
from gpulease_host.tunnels.proxies import Proxy


@dataclass
class Held:
    """A connection, what it forwards, and what the proxy has refused it."""

    connection: Connection
    forwards: dict[int, Forward] = field(default_factory=dict)
    refused: set[Forward] = field(default_factory=set)
    was_up: bool = False


class ProxyLink:
    """Not shared by threads: `Tunnels` has the lock."""

    def __init__(self, proxy: Proxy, key: Path, connect: Connect, backoff: Backoff, log: Log) -> None:
        self._proxy = proxy
        self._key = key
        self._connect = connect
        self._backoff = backoff
        self._log = log
        self._held: list[Held] = []
        self._not_before = 0.0

    @property
    def forwards(self) -> dict[int, Forward]:
        """What the proxy listens on for this host."""
        return {port: forward for held in self._held for port, forward in held.forwards.items()}

    def step(self, wanted: Mapping[int, Forward], now: float) -> None:
        """`now` is monotonic, in seconds."""
        self._bury(now)
        self._cancel(wanted)
        missing = [forward for port, forward in wanted.items() if port not in self.forwards]
        if missing:
            self._add(missing, now)
        self._end_idle(bool(wanted))

    def withdraw(self, instance_id: int) -> None:
        """On return nothing new is led to this instance by this proxy."""
        for held in self._held:
            for port, forward in list(held.forwards.items()):
                if forward.way.instance_id == instance_id:
                    held.connection.cancel(forward)
                    del held.forwards[port]

    def close(self) -> None:
        for held in self._held:
            held.connection.close()
        self._held = []

    def _bury(self, now: float) -> None:
        for held in [each for each in self._held if not each.connection.is_alive]:
            held.connection.close()
            self._held.remove(held)
            event = "tunnel broke" if held.was_up else "proxy not reached"
            self._say(event, reason=held.connection.last_words, ports=sorted(held.forwards))
            self._not_before = now + self._backoff.failed(self._proxy)

    def _cancel(self, wanted: Mapping[int, Forward]) -> None:
        for held in self._held:
            for port, forward in list(held.forwards.items()):
                if wanted.get(port) != forward:
                    held.connection.cancel(forward)
                    del held.forwards[port]
                    self._say("forward ended", instance_id=forward.way.instance_id, port=port)

    def _add(self, missing: list[Forward], now: float) -> None:
        newest = self._held[-1] if self._held else None
        if newest is not None and not newest.connection.is_up:
            return  # it is on its way
        if newest is not None:
            is_new, newest.was_up = not newest.was_up, True
            if self._try(newest, missing):
                self._backoff.succeeded(self._proxy)
                return
            if is_new:  # the proxy has just said what this host may, or still holds the port for a lost connection
                self._not_before = now + self._backoff.failed(self._proxy)
        if now >= self._not_before:
            self._open(now)

    def _try(self, held: Held, missing: list[Forward]) -> bool:
        """Whether all of them are forwarded now."""
        for forward in missing:
            if forward in held.refused:
                continue
            if held.connection.add(forward):
                held.forwards[forward.way.port] = forward
                self._say("forwarded", instance_id=forward.way.instance_id, port=forward.way.port)
            else:
                held.refused.add(forward)
                self._say("forward refused", instance_id=forward.way.instance_id, port=forward.way.port)
        return not any(forward in held.refused for forward in missing)

    def _open(self, now: float) -> None:
        try:
            self._held.append(Held(self._connect(self._proxy, self._key)))
        except OSError as error:
            self._say("tunnel not begun", reason=f"{type(error).__name__}: {error.filename}")
            self._not_before = now + self._backoff.failed(self._proxy)

    def _end_idle(self, is_wanted: bool) -> None:
        """The newest stays while anything is wanted: it may be on its way."""
        kept = self._held[-1:] if is_wanted else []
        for held in [each for each in self._held if not each.forwards and each not in kept]:
            held.connection.close()
            self._held.remove(held)

    def _say(self, event: str, **fields: object) -> None:
        self._log.say(event, proxy=f"{self._proxy.address}:{self._proxy.port}", **fields)
