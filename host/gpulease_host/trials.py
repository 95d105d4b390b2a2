"""Starts a container of the host's own now and then, as a client's would be: on every GPU that is free, and for ssh.

When the daemon has begun and each day, soon after a client's start has failed, and each minute while that stands. So
a host that lets nothing start leaves the market before a client finds out, and comes back by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from gpulease_host.engine import Engine, EngineError, HostFaultError, NotStartedError, OrderedGpu
from gpulease_host.gpus import Gpus, holders
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.start_faults import StartFaults
from gpulease_host.world import World

LOOK_S = 2.0
SOON_S = 15.0
"""Between trials that were asked for: nobody else's start can have these GPUs meanwhile."""
AGAIN_S = 60.0
DAY_S = 86_400.0
UNKNOWN = (
    "A container of this host's own does not start, for a reason that it does not know (trial_failed). See what Docker "
    "said: journalctl -u gpulease-host"
)


@dataclass
class Trials:
    engine: Engine
    gpus: Gpus
    ledger: Ledger
    world: World
    faults: StartFaults
    elapsed: Callable[[], float]
    log: Log
    _due_at: float = field(default=float("-inf"), init=False)
    _tried_at: float = field(default=float("-inf"), init=False)
    _login_due_at: float = field(default=float("-inf"), init=False)

    def soon(self) -> None:
        """A start has failed, and it may be the host's fault."""
        self._due_at = min(self._due_at, self._tried_at + SOON_S)

    def step(self) -> float:
        if self.elapsed() >= self._due_at:
            self._tried_at = self.elapsed()
            self._due_at = self._tried_at + AGAIN_S
            if self._try_free() and not self.faults.are_any:
                self._due_at = self.elapsed() + DAY_S
        if self.elapsed() >= self._login_due_at:
            self._login_due_at = self.elapsed() + (DAY_S if self._gets_in() else AGAIN_S)
        return LOOK_S

    def _gets_in(self) -> bool:
        try:
            self.world.docker.check()
            self.engine.try_way_in()
        except EngineError as error:
            self.log.say("no login to a trial container", reason=error.for_log)
            return False
        return True

    def _try_free(self) -> bool:
        """Whether that told something: nothing does while every GPU is in use, or Docker is away."""
        held = holders(self.ledger.view().records).keys()
        with ExitStack() as stack:
            free = [gpu for gpu in self.gpus.clean(held) if self._locked(gpu, stack)]
            try:
                self.world.docker.check()
                self._try(free)
            except EngineError as error:
                self.log.say("trial container not tried", reason=error.for_log)
                return False
        return bool(free)

    def _locked(self, gpu: OrderedGpu, stack: ExitStack) -> bool:
        """Nothing is begun on it meanwhile, and nothing is waited for."""
        (lock,) = self.gpus.start_locks([gpu.uuid])
        if not lock.acquire(blocking=False):
            return False
        stack.callback(lock.release)
        return True

    def _try(self, gpus: Sequence[OrderedGpu]) -> None:
        """All at once; one by one where that says which of them it is. Raises EngineError where that tells nothing."""
        fault, uuids = self._fault_with(gpus) if gpus else None, [gpu.uuid for gpu in gpus]
        if fault is not None and fault.of_gpus and len(gpus) > 1:
            for gpu in gpus:
                self._try([gpu])
        elif fault is not None:
            self.faults.note(fault, uuids)
        elif gpus:
            self.faults.succeeded(uuids)

    def _fault_with(self, gpus: Sequence[OrderedGpu]) -> HostFaultError | None:
        """Whatever keeps our own container from starting is this host's fault. Raises EngineError for what is not."""
        try:
            self.engine.try_start(gpus)
        except HostFaultError as error:
            fault = error
        except NotStartedError as error:
            if error.code != NotStartedError.code:
                raise  # it is about the image, and ours is not what is tried
            fault = HostFaultError(UNKNOWN, "trial_failed", UNKNOWN, details=error.details)
        else:
            self.log.say("trial container started", gpus=[gpu.index for gpu in gpus])
            return None
        self.log.say("trial container not started", code=fault.code, details=fault.details)
        return fault
