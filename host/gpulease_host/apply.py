"""Does what was decided, for one instance at a time: decide, do one step, look again, until there is nothing to do.

Each step is in the journal before its effect, and each effect may be done twice, so a daemon that dies anywhere
goes on from where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NoReturn, assert_never

from gpulease_host.backoff import Backoff
from gpulease_host.decide import (
    Nothing,
    Remove,
    SetKeys,
    Settle,
    Start,
    Stop,
    bury,
    decide,
    decide_stray,
    is_being_tried,
    must_end,
)
from gpulease_host.engine import (
    Container,
    Engine,
    EngineError,
    EngineUnavailableError,
    HostFaultError,
    HostNotPreparedError,
    NotStartedError,
    Order,
    OvertakenError,
    PortTakenError,
    PullWatch,
    Secrets,
)
from gpulease_host.gpus import Gpus, holders
from gpulease_host.journal import JournalError
from gpulease_host.launch.certificates import Certificates
from gpulease_host.ledger import Ledger
from gpulease_host.loading import Loading
from gpulease_host.log import Log
from gpulease_host.permission import Denied, Granted, KeysUnknownError, Permissions, Unreachable, Unusable
from gpulease_host.records import HOLDING, Record
from gpulease_host.start_faults import StartFaults
from gpulease_host.stop_grace import stop_grace_s
from gpulease_host.taken_ports import TakenPorts
from gpulease_host.world import World

MAX_STEPS = 12
WAY_IN_AGAIN_S = 0.25
REMOVE_GRACE_S = 1
NOT_YOURS = "That is this host's doing: choose another offer"


class NotYetError(Exception):
    """Nobody could say whether it may start."""


@dataclass(frozen=True)
class Applier:
    ledger: Ledger
    engine: Engine
    world: World
    gpus: Gpus
    loading: Loading
    permissions: Permissions
    certificates: Certificates
    clock: Callable[[], float]
    again: Callable[[int, float], None]
    """Have an instance worked on again, after so many seconds."""
    backoff: Backoff
    log: Log
    stop_grace_s: int
    start_faults: StartFaults = field(default_factory=StartFaults)
    taken_ports: TakenPorts = field(default_factory=TakenPorts)
    try_soon: Callable[[], None] = lambda: None
    """Have a container of the host's own started: whether a start fails for it as well tells whose fault it is."""
    withdraw: Callable[[int], None] = lambda _instance_id: None
    """Have no proxy lead to an instance any more: its address is about to be free."""

    def settle(self, instance_id: int) -> None:
        """Bring one instance to what is wanted of it. What fails for now is tried again later."""
        try:
            if self._steps(instance_id):
                self.backoff.succeeded(instance_id)
            else:
                self._later(instance_id, "It does not come to rest.")
        except EngineError as error:
            self._later(instance_id, error.for_log)
        except (JournalError, NotYetError, KeysUnknownError) as error:
            self._later(instance_id, str(error))

    def _steps(self, instance_id: int) -> bool:
        """Whether it came to rest."""
        for _ in range(MAX_STEPS):
            try:
                containers = self.world.containers(of=instance_id)
            except EngineUnavailableError:
                self._stop_what_runs(instance_id)
                raise
            record = self.ledger.record(instance_id)
            if record is None:
                self._settle_stray(instance_id, containers)
                return True
            if self._step(record, containers):
                return True
        return False

    def _stop_what_runs(self, instance_id: int) -> None:
        """To stop what is seen running takes no proof of what is absent. It is noted once there is such a proof."""
        record = self.ledger.record(instance_id)
        if record is None or not must_end(record, self.clock(), self.ledger.fenced_by(record)):
            return
        with suppress(EngineError):
            if instance_id in {each.instance_id for each in self.world.running()}:
                self.engine.stop(instance_id, self._grace_s(record))

    def _step(self, record: Record, containers: tuple[Container, ...]) -> bool:
        """One step; whether there was none left to do."""
        self.world.try_way_in(record, containers)
        action = decide(record, self.world.facts(record, self.ledger, containers))
        match action:
            case Nothing():
                if is_being_tried(record):
                    self.again(record.order.instance_id, WAY_IN_AGAIN_S)
                return True
            case Settle():
                if action.after.status == "absent":
                    # There is no container, but a start that broke off, or somebody's hand, may have left the rest.
                    self.withdraw(record.order.instance_id)
                    self.engine.remove(record.order.contract_id, record.order.instance_id)
                self._record(record, action)
            case Stop():
                self._stop(record, action.reason)
            case Remove():
                self._remove(record)
            case SetKeys():
                self._set_keys(record, action.reason)
            case Start():
                self._start(record, containers)
            case _:
                assert_never(action)
        return False

    def _record(self, record: Record, action: Settle) -> None:
        """The GPUs are looked at before the record says that they are left, so that both are known at once."""
        if record.status in HOLDING and action.after.status not in HOLDING:
            uuids = [gpu.uuid for gpu in record.order.gpus]
            self.gpus.left(uuids, record.order.instance_id)
            self.gpus.look(holders(self.ledger.view().records).keys() - set(uuids))
        if self.ledger.swap(record, action.after) and action.after.status != record.status:
            self._say(action.after, action.after.status, action.reason)

    def _stop(self, record: Record, reason: str) -> None:
        """A journal that cannot be written may keep nothing running."""
        try:
            if record.status in ("running", "loading"):
                if not self.ledger.swap(record, replace(record, status="stopping", reason=reason)):
                    return
                self._say(record, "stopping", reason)
        except JournalError as error:
            self.log.say("stops without the journal", instance_id=record.order.instance_id, reason=str(error))
        self.engine.stop(record.order.instance_id, self._grace_s(record))
        if record.status != "exited":
            self.ledger.note_ended(record.order.instance_id)

    def _grace_s(self, record: Record) -> int:
        return stop_grace_s(record.order, self.stop_grace_s, self.clock())

    def _remove(self, record: Record) -> None:
        order = record.order
        self._say(record, "removing", "The control plane says that its contract is gone.")
        self.engine.stop(order.instance_id, REMOVE_GRACE_S)
        with suppress(JournalError):  # a full disk, of which this removal may free some
            self.ledger.note_ended(order.instance_id)
        self.withdraw(order.instance_id)
        try:
            self.engine.remove(order.contract_id, order.instance_id)
        except EngineError as error:
            self._give_back(order, f"It has stopped, and is not removed yet: {error}")
            raise
        now = self.ledger.record(order.instance_id)
        action = bury(now, self.clock()) if now is not None and now.order == order else None
        if now is not None and isinstance(action, Settle):
            self._record(now, action)

    def _give_back(self, order: Order, reason: str) -> None:
        """Its GPUs, whatever remains of its files. It stays wanted absent, so its removal is tried again."""
        now = self.ledger.record(order.instance_id)
        if now is not None and now.order == order and now.status != "absent":
            after = replace(now.ended(), status="stopped", applied=order.generation, reason=reason)
            self._record(now, Settle(after, reason))

    def _set_keys(self, record: Record, reason: str) -> None:
        """What is fetched is of exactly this generation; a newer one has its own turn."""
        order = record.order
        self.engine.set_ssh_keys(order.instance_id, self.permissions.ask_keys(order))
        self.ledger.amend(order.instance_id, keys_revision=order.keys_revision)
        self._say(record, "ssh keys set", reason)

    def _start(self, record: Record, containers: tuple[Container, ...]) -> None:
        own = (each.hangs for each in containers if each.instance_id == record.order.instance_id)
        wait = next(own, None) or self.engine.why_not_startable(record.order)
        if wait is not None:
            self._wait(record, wait)
        permission = self.permissions.ask(record.order)
        match permission:
            case Granted():
                wait = self.certificates.why_not_ready(record.order)
                if wait is not None:
                    self._wait(record, wait)
                self._begin(record, permission.secrets, containers)
            case Denied():
                self.ledger.swap(record, replace(record, held=permission.reason))
            case Unusable():
                self._fail(record, permission.reason)
            case Unreachable():
                self._wait(record, permission.reason)
            case _:
                assert_never(permission)

    def _wait(self, record: Record, reason: str) -> NoReturn:
        """It stays loading, or is again after a reboot, and says why; raises NotYetError."""
        status = "loading" if record.status == "running" else record.status
        self.ledger.swap(record, replace(record, status=status, reason=reason))
        raise NotYetError(reason)

    def _begin(self, record: Record, secrets: Secrets, containers: tuple[Container, ...]) -> None:
        """Nothing else can begin on these GPUs meanwhile, and nobody's order has changed: then start."""
        order = record.order
        uuids = {gpu.uuid for gpu in order.gpus}
        gone = sorted(self._unknown(uuids))
        if gone:
            self._fail(record, f"GPU {gone[0]} is gone from this machine. {NOT_YOURS} (gpu_gone).")
            return
        with ExitStack() as stack:
            for lock in self.gpus.start_locks(uuids):
                stack.enter_context(lock)
            if not self._may_still_begin(record):
                return
            self._evict(record, containers)
            dirt = self.gpus.why_not_clean(uuids)
            if dirt is not None:
                self._fail(record, f"{dirt.rstrip('.')}. {NOT_YOURS} (gpu_not_clean).")
                return
            last_run = next((each.run for each in containers if each.instance_id == order.instance_id), None)
            begun = replace(record, token=order.token, begun_over=last_run, begun=False, status="loading", reason=None)
            begun = replace(begun, keys_revision=order.keys_revision, onstart_exit_code=None)
            if self._may_still_begin(record) and self.ledger.swap(record, begun):
                self.gpus.taken(uuids, order.instance_id)
                self._run(begun, secrets)

    def _unknown(self, uuids: set[str]) -> set[str]:
        """The driver may have begun to answer since the inventory was last read."""
        if uuids - self.world.gpu_uuids:
            self.world.refresh_inventory()
            self.gpus.know(self.world.inventory["gpus"])
        return uuids - self.world.gpu_uuids

    def _may_still_begin(self, record: Record) -> bool:
        """Asking took time; what is decided on may have passed."""
        return self.clock() < record.order.end_at and self.ledger.fenced_by(record) is None

    def _run(self, record: Record, secrets: Secrets) -> None:
        order = record.order
        instance_id, is_wanted = order.instance_id, partial(self._is_still_wanted, order)
        try:
            self.world.docker.check()
            self.engine.pull(order, secrets, PullWatch(is_wanted, partial(self.loading.say, instance_id)))
            self.world.docker.check()
            self.engine.start(order, secrets, is_wanted)
        except EngineUnavailableError as error:
            if isinstance(error, HostNotPreparedError):
                self.try_soon()
            self.ledger.swap(record, replace(record, reason=str(error)))
            raise
        except OvertakenError as error:
            self._say(record, "not started", str(error))
        except EngineError as error:
            with suppress(EngineError):
                self.engine.stop(instance_id, REMOVE_GRACE_S)
            self._note_fault(order, error)
            self.log.say("not started", instance_id=instance_id, details=secrets.hide(error.details))
            self._fail(record, secrets.hide(str(error)))
        else:
            self.ledger.amend(instance_id, begun=True, run_id=self.world.run_id)
            self.start_faults.succeeded([gpu.uuid for gpu in order.gpus])
        finally:
            self.loading.forget(instance_id)

    def _note_fault(self, order: Order, error: EngineError) -> None:
        """Before the record says that it failed, so that one report tells both."""
        if isinstance(error, PortTakenError):
            self.taken_ports.note(error.ports)
        elif isinstance(error, HostFaultError):
            self.start_faults.suspect(error, [gpu.uuid for gpu in order.gpus])
        if isinstance(error, NotStartedError):
            self.try_soon()

    def _is_still_wanted(self, order: Order) -> bool:
        """Preparing took time; the lease that it is for may be over. An extension is no reason to begin anew."""
        now = self.ledger.record(order.instance_id)
        return now is not None and now.order.token == order.token and self._may_still_begin(now)

    def _evict(self, record: Record, containers: tuple[Container, ...]) -> None:
        """A higher token first ends what is there."""
        wanted = {gpu.uuid for gpu in record.order.gpus}
        if self._others_begun_on(wanted, record.order.instance_id):
            containers = self.world.containers(of=record.order.instance_id)
        for container in containers:
            other = container.instance_id != record.order.instance_id
            if other and container.status == "running" and not wanted.isdisjoint(container.gpus):
                reason = f"Its GPU was given to a newer lease (token {record.order.token})."
                self.log.say("evicted", instance_id=container.instance_id, reason=reason)
                self.engine.stop(container.instance_id, self.stop_grace_s)
                self.ledger.note_ended(container.instance_id)
                self.gpus.left(wanted, container.instance_id)
                self.again(container.instance_id, 0)

    def _others_begun_on(self, uuids: set[str], instance_id: int) -> bool:
        """Whether one may have begun on these GPUs since the containers were listed."""
        return any(
            other.token is not None and any(gpu.uuid in uuids for gpu in other.order.gpus)
            for other_id, other in self.ledger.view().records.items()
            if other_id != instance_id
        )

    def _fail(self, record: Record, reason: str) -> None:
        """This generation cannot be reached, and that is the answer to it."""
        uuids = [gpu.uuid for gpu in record.order.gpus]
        self.gpus.left(uuids, record.order.instance_id)
        self.gpus.look(holders(self.ledger.view().records).keys() - set(uuids))
        failed = replace(record.ended(), status="failed", reason=reason, applied=record.order.generation)
        if self.ledger.swap(record, failed):
            self._say(failed, "failed", reason)

    def _settle_stray(self, instance_id: int, containers: tuple[Container, ...]) -> None:
        first_seen = self.ledger.view().strays.get(instance_id)
        for container in containers:
            if container.instance_id == instance_id and first_seen is not None:
                action = decide_stray(container, first_seen, self.clock())
                if isinstance(action, Stop):
                    self.log.say("stray stopped", instance_id=instance_id, reason=action.reason)
                    self.engine.stop(instance_id, self.stop_grace_s)

    def _later(self, instance_id: int, reason: str) -> None:
        delay_s = self.backoff.failed(instance_id)
        self.log.say("tried again later", instance_id=instance_id, reason=reason, delay_s=round(delay_s, 3))
        self.again(instance_id, delay_s)

    def _say(self, record: Record, what: str, reason: str) -> None:
        order = record.order
        self.log.say(
            "instance",
            contract_id=order.contract_id,
            instance_id=order.instance_id,
            generation=order.generation,
            status=what,
            reason=reason,
        )
