"""What must be seen to each second: ends that have come, disk beyond the share, GPUs that become clean.

Docker's events make it prompt; this makes it certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gpulease_host.decide import Nothing, decide
from gpulease_host.disk_overruns import DiskOverruns
from gpulease_host.engine import DataMissingError, Engine, EngineError, EngineUnavailableError
from gpulease_host.gpus import Gpus, holders
from gpulease_host.journal import JournalError
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.records import HOLDING
from gpulease_host.threads import describe
from gpulease_host.trusted_clock import TrustedClock
from gpulease_host.world import World

RECONCILE_S = 10
REFRESH_S = 30


@dataclass
class Watch:
    ledger: Ledger
    engine: Engine
    world: World
    gpus: Gpus
    clock: TrustedClock
    """For ends."""
    elapsed: Callable[[], float]
    """Monotonic seconds, for how often."""
    attend: Callable[[int], None]
    """Have an instance worked on now."""
    ring: Callable[[], None]
    """Something that is reported may have changed."""
    log: Log
    _reconciled_at: float = field(default=float("-inf"), init=False)
    _refreshed_at: float = field(default=float("-inf"), init=False)
    _reconciled_run: str | None = field(default=None, init=False)
    _last_fault: str = field(default="", init=False)
    _last_clock_fault: str | None = field(default=None, init=False)
    _overruns: DiskOverruns = field(init=False)

    def __post_init__(self) -> None:
        self._overruns = DiskOverruns(self.ledger, self.attend, self.elapsed)

    def tick(self) -> None:
        """Once a second. What fails is tried again with the next tick, and keeps nothing else from being done."""
        self._end_what_is_over()
        steps = (
            self._mind_clock,
            self._find_data,
            self._mind_disks,
            self._reconcile_in_time,
            self._mind_gpus,
            self._refresh,
        )
        faults: list[str] = []
        began_at, was_down = self.elapsed(), self.world.docker_down.fault
        for step in steps:
            try:
                step()
            except EngineUnavailableError as error:
                faults.append(error.for_log)
                if isinstance(error, DataMissingError):
                    self.world.docker_down.answered()
                else:
                    self.world.docker_down.failed(began_at, str(error))
                break  # the others would wait for it too, and the next end would be late
            except EngineError as error:
                faults.append(error.for_log)
            except JournalError as error:
                faults.append(str(error))
            except Exception as error:  # noqa: BLE001 - nobody foresaw it: the others go on, and so does the daemon
                faults.append(describe(error))
        else:
            self.world.docker_down.answered()
        if (was_down is None) != (self.world.docker_down.fault is None):
            self.ring()
        self._say_once(" ".join(faults))

    def reconcile(self) -> None:
        """Hold every container against every record; whoever differs is worked on. Raises EngineError."""
        run_id = self.world.run_id
        containers = self.world.containers()
        records = self.ledger.view().records
        for instance_id, record in records.items():
            if not isinstance(decide(record, self.world.facts(record, self.ledger, containers)), Nothing):
                self.attend(instance_id)
        strays = {each.instance_id for each in containers} - records.keys()
        for instance_id in self.ledger.note_strays(strays):
            self.attend(instance_id)
        self.gpus.look(holders(records).keys())
        self.world.refresh_inventory()
        self.gpus.know(self.world.inventory["gpus"])
        self._reconciled_at = self.elapsed()
        self._reconciled_run = run_id
        self.ring()

    def _reconcile_in_time(self) -> None:
        if self.elapsed() - self._reconciled_at >= RECONCILE_S or self._reconciled_run != self.world.run_id:
            self.reconcile()

    def _refresh(self) -> None:
        if self.elapsed() - self._refreshed_at >= REFRESH_S:
            self._refreshed_at = self.elapsed()
            self.world.refresh()
            self.ledger.forget_old()

    def _end_what_is_over(self) -> None:
        """Also when cut off: the end that this host last heard of is the end."""
        now = self.clock()
        for instance_id, record in self.ledger.view().records.items():
            if now >= record.order.end_at and record.status in HOLDING:
                self.attend(instance_id)

    def _mind_clock(self) -> None:
        """Nothing ends by the machine's own clock, so that it is wrong is only told."""
        fresh = self.clock.to_keep(self.ledger.view().time)
        if fresh is not None:
            self.ledger.note_time(fresh)
        fault = self.clock.why_not_right()
        if (fault is None) != (self._last_clock_fault is None):
            self.log.say("clock", reason=fault or "This machine's clock is right again.")
        self._last_clock_fault = fault

    def _find_data(self) -> None:
        """Without it nothing that Docker shows counts. That Docker is away hinders no step that can do without."""
        try:
            self.world.docker.check()
        except EngineError as error:
            if isinstance(error, DataMissingError):
                raise

    def _mind_disks(self) -> None:
        records = self.ledger.view().records
        limits = {each: record.order.limits for each, record in records.items() if record.status in HOLDING}
        self._overruns.mind(self.engine.watch(limits))

    def _mind_gpus(self) -> None:
        held = holders(self.ledger.view().records).keys()
        if self.gpus.needs_look(held):
            self.gpus.look(held)
            self.ring()

    def _say_once(self, reason: str) -> None:
        if reason and reason != self._last_fault:
            self.log.say("watch fails", reason=reason)
        self._last_fault = reason
