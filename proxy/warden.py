"""Ends connections that listen where they may no longer, and those whose host is gone.

sshd asks once, when a host logs in; the permit then lasts as long as the connection. A contract's end does not reach
it. An honest host gives the port back by itself; this is for the other kind, which could otherwise wait until the
number belongs to somebody else. What nobody logged in for in this run was left by one that was killed: it is ended
too, and its host comes back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from proxy.hosts import Hosts
from proxy.listeners import Listener
from proxy.log import Log
from proxy.service import ServiceError

PERMIT_AGE_S = 300
"""How often the service is asked again of each connected host."""
SILENT_S = 20
"""Hosts say something every 5 s. One that comes back wants the ports that its lost connection still holds."""
HANDING_BACK_S = 120
"""How long a host may take to give a port back: its container gets time to stop, and others' sessions run beside."""


def end_process(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@dataclass
class Warden:
    hosts: Hosts
    look: Callable[[], list[Listener]]
    alive: Callable[[], set[int]]
    log: Log
    end: Callable[[int], None] = end_process
    permit_age_s: float = PERMIT_AGE_S
    handing_back_s: float = HANDING_BACK_S
    _stale_since: dict[tuple[int, int], float] = field(default_factory=dict, init=False)

    def step(self, now: float) -> None:
        """`now` is monotonic, in seconds."""
        logged_in = self.hosts.logged_in()
        stale: dict[tuple[int, int], float] = {}
        for each in self.look():
            reason = self._why_not(each, now, stale)
            if reason is not None:
                self.log.say("connection ended", pid=each.pid, ports=sorted(each.ports), reason=reason)
                self.end(each.pid)
        self._stale_since = stale
        self.hosts.forget(logged_in - self.alive())

    def end_all(self) -> None:
        for each in self.look():
            self.end(each.pid)

    def _why_not(self, listener: Listener, now: float, stale: dict[tuple[int, int], float]) -> str | None:
        login = self.hosts.login(listener.pid) or self.hosts.login(listener.parent)
        if login is None:
            return "it was left by an earlier run of this proxy"
        if listener.silent_s is not None and listener.silent_s > SILENT_S:
            return f"its host has been silent for {listener.silent_s:.0f} s"
        try:
            # What has become stale is asked for again more often, so that a start meanwhile is heard of.
            waits = any(pid == listener.pid for pid, _ in self._stale_since)
            known = self.hosts.now(login.fingerprint, self.handing_back_s / 4 if waits else self.permit_age_s)
        except ServiceError:
            stale.update({key: since for key, since in self._stale_since.items() if key[0] == listener.pid})
            return None
        for port in listener.ports - (known.ports if known is not None else frozenset()):
            stale[listener.pid, port] = self._stale_since.get((listener.pid, port), now)
            if now - stale[listener.pid, port] >= self.handing_back_s:
                return f"port {port} is no longer its host's"
        return None
