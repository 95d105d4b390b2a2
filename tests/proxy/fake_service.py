"""The service in memory, for what needs no HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.service import Binding, HostPorts, ServiceError


@dataclass
class FakeService:
    known: dict[str, HostPorts] = field(default_factory=dict)
    is_away: bool = False
    asked: list[str] = field(default_factory=list)
    is_asked: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)
    """Cleared: whoever asks waits."""
    meanwhile: Callable[[], None] = field(default=lambda: None)
    """Happens while it is asked."""

    def __post_init__(self) -> None:
        self.answers.set()

    def permit(self, key: str, *ports: int, instance_id: int = 70) -> None:
        self.known[key] = HostPorts(7, tuple(Binding(instance_id, "jupyter", port) for port in ports))

    def ports_of(self, fingerprint: str) -> HostPorts | None:
        self.asked.append(fingerprint)
        self.is_asked.set()
        self.meanwhile()
        assert self.answers.wait(10)
        if self.is_away:
            raise ServiceError("away")
        return self.known.get(fingerprint)

    def ca(self) -> bytes:
        raise ServiceError("away")
