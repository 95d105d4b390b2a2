"""The hosts that are connected here, and what the service said they may do: at login always anew, else from memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from proxy.log import Log
from proxy.service import Binding, HostPorts, Service, ServiceError

ROUTE_AGE_S = 60
"""How old what the service said may be when a client asks for an instance."""
USABLE_S = 600
"""How old it may be while the service does not answer. Routes only: nobody logs in by memory."""


@dataclass(frozen=True)
class Known:
    ports: HostPorts | None
    at: float


@dataclass(frozen=True)
class Login:
    """A key that was let in, by the process of sshd that asked, and where its connection may listen while it lasts."""

    pid: int
    fingerprint: str
    ports: frozenset[int]


class Hosts:
    """Shared by threads."""

    def __init__(self, service: Service, elapsed: Callable[[], float], log: Log) -> None:
        self._service = service
        self._elapsed = elapsed
        self._log = log
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._logins: dict[int, Login] = {}

    def log_in(self, fingerprint: str, pid: int) -> HostPorts | None:
        """What a host with this key may listen on, on the service's word of this moment."""
        try:
            known = self._ask(fingerprint)
        except ServiceError as error:
            self._log.say("host not let in", fingerprint=fingerprint, reason=str(error))
            return None
        if known is None or not known.bindings:
            reason = "no host has this key" if known is None else "it has nothing to forward"
            self._log.say("host not let in", fingerprint=fingerprint, reason=reason)
            return None
        with self._lock:
            self._logins[pid] = Login(pid, fingerprint, known.ports)
            self._known[fingerprint] = Known(known, self._elapsed())
        ports = sorted(known.ports)
        self._log.say("host may come in", fingerprint=fingerprint, host_id=known.host_id, ports=ports, pid=pid)
        return known

    def login(self, pid: int) -> Login | None:
        with self._lock:
            return self._logins.get(pid)

    def logins(self) -> list[Login]:
        with self._lock:
            return list(self._logins.values())

    def forget(self, pids: set[int]) -> None:
        """Logins whose process is gone, and then the hosts that nobody is logged in as."""
        with self._lock:
            self._logins = {pid: each for pid, each in self._logins.items() if pid not in pids}
            used = {each.fingerprint for each in self._logins.values()}
            self._known = {each: known for each, known in self._known.items() if each in used}

    def now(self, fingerprint: str, most_age_s: float) -> HostPorts | None:
        """What it may listen on; asked again when that is older. None: nobody has this key. Raises ServiceError."""
        with self._lock:
            known = self._known.get(fingerprint)
        if known is not None and self._elapsed() - known.at < most_age_s:
            return known.ports
        return self._ask(fingerprint)

    def jupyter_port(self, instance_id: int) -> int | None:
        """Where the tunnel of its JupyterLab ends here. Only connected hosts are looked through.

        For a moment two keys may have the same instance, where its host has just replaced one: then neither has it.
        """
        with self._lock:
            holders = [each for each, known in self._known.items() if _jupyter(known.ports, instance_id) is not None]
        if len(holders) != 1:
            return None
        found = _jupyter(self._lately(holders[0]), instance_id)
        return found.port if found is not None else None

    def _lately(self, fingerprint: str) -> HostPorts | None:
        try:
            return self.now(fingerprint, ROUTE_AGE_S)
        except ServiceError:
            with self._lock:
                known = self._known.get(fingerprint)
            usable = known is not None and self._elapsed() - known.at < USABLE_S
            return known.ports if known is not None and usable else None

    def _ask(self, fingerprint: str) -> HostPorts | None:
        ports = self._service.ports_of(fingerprint)
        with self._lock:
            self._known[fingerprint] = Known(ports, self._elapsed())
        return ports


def _jupyter(ports: HostPorts | None, instance_id: int) -> Binding | None:
    bindings = ports.bindings if ports is not None else ()
    return next((each for each in bindings if each.kind == "jupyter" and each.instance_id == instance_id), None)
