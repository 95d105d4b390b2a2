"""The service's authority, as far as a host meets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gpulease_host.launch.tls import Request, TlsFiles
from rental.domain.certificates import DAY_S, Vouched
from rental.domain.ids import InstanceId
from tests.fakes.authority import ZONE, make_authority
from tests.fakes.ports import FakeClock

LIFE_S = 30 * DAY_S


@dataclass
class Notary:
    """Signs for 127.0.0.1, for thirty days from now."""

    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._authority = make_authority(FakeClock(int(self.clock())))

    @property
    def certificate(self) -> str:
        return self._authority.certificate()

    def sign(self, instance_id: int, csr: str) -> str:
        now = int(self.clock())
        name = f"j-{instance_id}.{ZONE}"
        return self._authority.sign(csr, Vouched(InstanceId(instance_id), "127.0.0.1", name, now, now + LIFE_S))

    def files(self, instance_id: int) -> TlsFiles:
        request = Request()
        return request.files(self.sign(instance_id, request.csr()))
