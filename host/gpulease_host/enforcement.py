"""What holds each second whether Docker answers or not, in threads that never ask it.

ends     what may not run any more and still holds its GPUs long after is killed
shares   what holds is held to its share, and tenants apart
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gpulease_host.decide import must_end
from gpulease_host.engine import Engine, EngineError
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.records import HOLDING
from gpulease_host.stop_grace import stop_grace_s

STOP_TAKES_S = 20
"""Beyond its grace. What holds on for longer than both is killed."""


@dataclass
class Enforcement:
    ledger: Ledger
    engine: Engine
    clock: Callable[[], float]
    """For ends."""
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    log: Log
    stop_grace_s: int
    _ends_since: dict[int, float] = field(default_factory=dict, init=False)
    _last_fault: str = field(default="", init=False)

    def end_overdue(self) -> None:
        """Docker may be away, stuck, or on other data for longer than an end may be late."""
        now, elapsed, view = self.clock(), self.elapsed(), self.ledger.view()
        ending = {
            instance_id: record.order
            for instance_id, record in view.records.items()
            if record.status in HOLDING and must_end(record, now, self.ledger.fenced_by(record))
        }
        self._ends_since = {each: self._ends_since.get(each, elapsed) for each in ending}
        for instance_id, order in ending.items():
            late_s = max(now - order.end_at, elapsed - self._ends_since[instance_id])
            grace_s = stop_grace_s(order, self.stop_grace_s, now - late_s)
            if late_s >= grace_s + STOP_TAKES_S and self.engine.kill(instance_id):
                self.log.say("killed", instance_id=instance_id, reason="Docker has not stopped it.")

    def hold_shares(self) -> None:
        """From the first moment to the last: programs run before anyone can get in, and through a stop's grace."""
        records = self.ledger.view().records
        fault = ""
        try:
            self.engine.hold({each: rec.order.limits for each, rec in records.items() if rec.status in HOLDING})
        except EngineError as error:
            fault = str(error)
        if fault and fault != self._last_fault:
            self.log.say("shares not held", reason=fault)
        self._last_fault = fault
