"""The hosts that are connected here, and what the service said they may do: at login always anew, else from memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.log import Log
from proxy.service import Binding, HostPorts, Service, ServiceError

ROUTE_AGE_S = 60
"""How old what the service said may be when a client asks for an instance."""
USABLE_S = 600
"""How old it may be while the service does not answer. Routes only: nobody logs in by memory."""

AGAIN_S = 10
"""How long nobody asks again after a question without an answer. A login always does: it is let in by no memory."""


@dataclass(frozen=True)
class Known:
    """`at`: when it was asked for."""

    ports: HostPorts | None
    at: float


@dataclass
class Question:
    """What is asked about one host goes through its lock, one after the other."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    failed_at: float | None = None


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
        self._questions: dict[str, Question] = {}
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
            self._questions = {each: question for each, question in self._questions.items() if each in used}

    def now(self, fingerprint: str, most_age_s: float, waits: bool = True) -> HostPorts | None:
        """What it may listen on; asked again when that is older. None: nobody has this key. Raises ServiceError.

        One question at a time: who `waits` for another's takes its answer, who does not gets the error.
        """
        since = self._elapsed() - most_age_s
        if (known := self._remembered(fingerprint, since)) is not None:
            return known.ports
        with self._lock:
            question = self._questions.setdefault(fingerprint, Question())
        if not question.lock.acquire(blocking=waits):
            raise ServiceError("the service is being asked")
        try:
            if (known := self._remembered(fingerprint, since)) is not None:
                return known.ports
            return self._ask_unless_in_vain(fingerprint, question)
        finally:
            question.lock.release()

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
            return self.now(fingerprint, ROUTE_AGE_S, waits=False)
        except ServiceError:
            known = self._remembered(fingerprint, self._elapsed() - USABLE_S)
            return known.ports if known is not None else None

    def _remembered(self, fingerprint: str, since: float) -> Known | None:
        with self._lock:
            known = self._known.get(fingerprint)
        return known if known is not None and known.at >= since else None

    def _ask_unless_in_vain(self, fingerprint: str, question: Question) -> HostPorts | None:
        if question.failed_at is not None and self._elapsed() - question.failed_at < AGAIN_S:
            raise ServiceError("the service did not answer a moment ago")
        try:
            return self._ask(fingerprint)
        except ServiceError:
            question.failed_at = self._elapsed()
            raise

    def _ask(self, fingerprint: str) -> HostPorts | None:
        at = self._elapsed()
        ports = self._service.ports_of(fingerprint)
        with self._lock:
            known = self._known.get(fingerprint)
            if known is None or known.at <= at:
                self._known[fingerprint] = Known(ports, at)
        return ports


def _jupyter(ports: HostPorts | None, instance_id: int) -> Binding | None:
    bindings = ports.bindings if ports is not None else ()
    return next((each for each in bindings if each.kind == "jupyter" and each.instance_id == instance_id), None)
