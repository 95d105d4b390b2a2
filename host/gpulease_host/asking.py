"""Asks for the whole wanted state, before anything starts in a new run of machine, Docker or daemon."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from gpulease_host.admit import Refused
from gpulease_host.api import ApiError, ApiRefusedError
from gpulease_host.decide import ASKING_FIRST
from gpulease_host.engine import EngineError, Order
from gpulease_host.journal import JournalError
from gpulease_host.key_ring import KeyRing
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.trusted_clock import TrustedClock
from gpulease_host.wire import WireError, parse_manifest, parse_sealed_key_ids
from gpulease_host.world import World

ASK_AGAIN_S = 60
"""While something waits that the last manifest did not name."""
ASK_FOR_TIME_S = 5
"""While it is in doubt what time it is."""
ASK_ANYWAY_S = 600
"""Reports are not answered: a host that was given up would not learn it otherwise."""


class ManifestApi(Protocol):
    def manifest(self) -> Any: ...


@dataclass
class Asker:
    api: ManifestApi
    ledger: Ledger
    world: World
    host_id: int
    clock: TrustedClock
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    attend: Callable[[int], None]
    """Have an instance worked on now."""
    log: Log
    keys: KeyRing
    retire: Callable[[], None]
    """End everything: the control plane says that this is no host any more."""
    retired: str | None = field(default=None, init=False)
    """The control plane's sentence, once it has said so."""
    _asked_run: str | None = field(default=None, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)

    @property
    def is_sweeping(self) -> bool:
        """Whether what runs here was not yet held against the manifest in this run."""
        return self._asked_run != self.world.run_id

    def is_due(self) -> bool:
        since_s = self.elapsed() - self._asked_at
        if self.retired is None and self.is_sweeping:
            return True
        if self.retired is None and self.clock.needs_service and since_s >= ASK_FOR_TIME_S:
            return True
        waits = any(record.reason == ASKING_FIRST for record in self.ledger.view().records.values())
        return since_s >= (ASK_AGAIN_S if waits and self.retired is None else ASK_ANYWAY_S)

    def ask(self) -> bool:
        """Fetch the manifest and take what stands in it. Whether that went well; if not, ask again later."""
        run_id, asked_with = self.world.run_id, self.keys.key_id
        self._asked_at = self.elapsed()
        try:
            answer = self.api.manifest()
            orders, bad = parse_manifest(answer, self.host_id)
            self._take(orders, run_id)
        except ApiRefusedError as error:
            return self._refused(error)
        except (ApiError, WireError, EngineError, JournalError) as error:
            self.log.say("manifest not fetched", reason=str(error))
            return False
        sealed_key_ids = parse_sealed_key_ids(answer)
        if sealed_key_ids is not None:
            self.keys.keep_only(sealed_key_ids, asked_with)
        for each in bad:
            self.log.say("order refused", instance_id=each.instance_id, reason=each.reason)
        self._asked_run = run_id
        self.log.say("manifest fetched", orders=len(orders))
        for instance_id in self.ledger.view().records:
            self.attend(instance_id)
        return True

    def _refused(self, error: ApiRefusedError) -> bool:
        if not error.is_for_good:
            self.log.say("manifest not fetched", reason=str(error))
            return False
        self.retired = str(error)
        self.log.say("host retired", reason=self.retired)
        try:
            self.retire()
        except (EngineError, JournalError) as fault:
            self.log.say("not everything ended", reason=str(fault))
            return False
        return True

    def _take(self, orders: Collection[Order], run_id: str) -> None:
        if self.ledger.view().lost:
            self.ledger.rebuild(self.world.containers(), orders)
        for order, verdict in self.ledger.admit(orders, None, run_id):
            if isinstance(verdict, Refused):
                self.log.say("order refused", instance_id=order.instance_id, reason=verdict.reason)
        self.ledger.note_asked()
