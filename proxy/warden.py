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

from proxy.hosts import Hosts, Login
from proxy.listeners import Listener
from proxy.log import Log
from proxy.lost_numbers import Connection, LostNumbers
from proxy.service import ServiceError

PERMIT_AGE_S = 300
"""How often the service is asked again of each connected host."""
SILENT_S = 20
"""Hosts say something every 5 s. One that comes back wants the ports that its lost connection still holds."""
HANDING_BACK_S = 120
"""How long a host may hold a lost port: its container gets time to stop, and others' sessions run beside."""
FEW_WAITING, MOST_WAITING = 50, 300
"""Nobody is ended while fewer wait to log in; while more do, the oldest go at once. sshd takes more than these."""
LOGIN_S = 10
"""A host's login takes less than this: sshd asks, and the service answers."""
MOST_IDLE = 8
"""A host has one connection that listens nowhere yet, or two."""
SAY_ROOM_S = 60
MOST_BETWEEN_S = 10
"""What counts between two looks, where the service took longer to answer: the host was not seen meanwhile."""


def end_process(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def end_connection(pid: int) -> None:
    """Also the second process that deals with it until it is let in, which would not end with the first."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)


@dataclass
class Warden:
    """`end_gone` asks nobody, so that lost lines are noticed while the service does not answer: in its own thread."""

    hosts: Hosts
    look: Callable[[], list[Listener]]
    alive: Callable[[], set[int]]
    log: Log
    begun: Callable[[], set[int]] = set
    """Whom sshd deals with, by the process of each: hosts, and whoever has not said who they are."""
    end: Callable[[int], None] = end_process
    end_stranger: Callable[[int], None] = end_connection
    permit_age_s: float = PERMIT_AGE_S
    handing_back_s: float = HANDING_BACK_S
    _lost: dict[str, LostNumbers] = field(default_factory=dict, init=False)
    _looked_at: float | None = field(default=None, init=False)
    _waiting_since: dict[int, float] = field(default_factory=dict, init=False)
    _say_room_at: float = field(default=float("-inf"), init=False)

    def end_gone(self) -> None:
        logged_in = {each.pid for each in self.hosts.logins()}
        for each in self.look():
            reason = self._why_gone(each)
            if reason is not None:
                self._end(each.pid, each.ports, reason)
        self.hosts.forget(logged_in - self.alive())

    def end_unpermitted(self, now: float) -> None:
        """`now` is monotonic, in seconds."""
        passed_s = min(now - self._looked_at, MOST_BETWEEN_S) if self._looked_at is not None else 0.0
        self._looked_at = now
        connected = self._connections()
        self._lost = {each: self._lost.get(each) or LostNumbers(self.handing_back_s) for each in connected}
        for fingerprint, connections in connected.items():
            self._judge(fingerprint, connections, now, passed_s)

    def end_waiting(self, now: float) -> None:
        """Makes room for hosts while strangers hold sshd's slots: of many, those go that have waited longest."""
        begun = self.begun()
        if len(begun) <= FEW_WAITING:
            self._waiting_since.clear()
            return  # who they are takes longer to find out
        waiting = begun - self._come_in()
        self._waiting_since = {pid: self._waiting_since.get(pid, now) for pid in waiting}
        oldest_first = sorted(waiting, key=self._waiting_since.__getitem__)
        for left, pid in zip(range(len(waiting), FEW_WAITING, -1), oldest_first, strict=False):
            if left > MOST_WAITING or now - self._waiting_since[pid] >= LOGIN_S:
                self._say_room(now, len(waiting))
                self.end_stranger(pid)

    def _come_in(self) -> set[int]:
        """Who asked by a key has not shown that it has it: of those that listen nowhere, the newest of each key."""
        listening = {login.pid for each in self.look() if (login := self._login(each)) is not None}
        idle: dict[str, list[int]] = {}
        for login in self.hosts.logins():
            idle.setdefault(login.fingerprint, []).extend({login.pid} - listening)
        return listening.union(*(pids[-MOST_IDLE:] for pids in idle.values()))

    def _say_room(self, now: float, waiting: int) -> None:
        if now >= self._say_room_at:
            self._say_room_at = now + SAY_ROOM_S
            self.log.say("connections ended", waiting=waiting, reason="they did not log in while many others waited")

    def end_all(self) -> None:
        """Also what listens nowhere: a later run would not know it, and its permit would last."""
        for pid in {each.pid for each in self.look()} | {each.pid for each in self.hosts.logins()}:
            self.end(pid)

    def _why_gone(self, listener: Listener) -> str | None:
        if self._login(listener) is None:
            return "it was left by an earlier run of this proxy"
        if listener.silent_s > SILENT_S:
            return f"its host has been silent for {listener.silent_s:.0f} s"
        return None

    def _connections(self) -> dict[str, list[Connection]]:
        """By the host's key, also those that listen nowhere: they can at any time."""
        listening = {login.pid: each for each in self.look() if (login := self._login(each)) is not None}
        found: dict[str, list[Connection]] = {}
        for login in self.hosts.logins():
            found.setdefault(login.fingerprint, []).append(Connection(login, listening.get(login.pid)))
        return found

    def _judge(self, fingerprint: str, connections: list[Connection], now: float, passed_s: float) -> None:
        """On the service's word of this moment: while it does not answer nobody is cut off."""
        lost = self._lost[fingerprint]
        age_s = self.handing_back_s / 4 if lost.are_held(connections) else self.permit_age_s
        try:
            permitted = self._permitted(fingerprint, 0 if lost.are_taken_up(connections) else age_s)
            lost.count(connections, permitted, now, passed_s)
            if any(lost.why_end(each, now) for each in connections):
                lost.count(connections, self._permitted(fingerprint, 0), now, 0)
        except ServiceError:
            return
        for each in connections:
            reason = lost.why_end(each, now)
            if reason is not None and self.hosts.login(each.login.pid) == each.login:  # it may have gone meanwhile
                self._end(each.pid, each.ports, reason)

    def _permitted(self, fingerprint: str, most_age_s: float) -> frozenset[int]:
        known = self.hosts.now(fingerprint, most_age_s)
        return known.ports if known is not None else frozenset()

    def _login(self, listener: Listener) -> Login | None:
        """sshd's monitor asked; its child listens."""
        return self.hosts.login(listener.pid) or self.hosts.login(listener.parent)

    def _end(self, pid: int, ports: frozenset[int], reason: str) -> None:
        self.log.say("connection ended", pid=pid, ports=sorted(ports), reason=reason)
        self.end(pid)
