"""Asks for the whole wanted state, before anything starts in a new run of machine, Docker or daemon."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from gpulease_host.admit import Refused
from gpulease_host.api import ApiError
from gpulease_host.decide import ASKING_FIRST
from gpulease_host.engine import EngineError, Order
from gpulease_host.journal import JournalError
from gpulease_host.ledger import Ledger
from gpulease_host.log import Log
from gpulease_host.wire import WireError, parse_manifest
from gpulease_host.world import World

ASK_AGAIN_S = 60
"""While something waits that the last manifest did not name."""


class ManifestApi(Protocol):
    def manifest(self) -> Any: ...


@dataclass
class Asker:
    api: ManifestApi
    ledger: Ledger
    world: World
    host_id: int
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    attend: Callable[[int], None]
    """Have an instance worked on now."""
    log: Log
    _asked_run: str | None = field(default=None, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)

    @property
    def is_sweeping(self) -> bool:
        """Whether what runs here was not yet held against the manifest in this run."""
        return self._asked_run != self.world.run_id

    def is_due(self) -> bool:
        if self.is_sweeping:
            return True
        waits = any(record.reason == ASKING_FIRST for record in self.ledger.view().records.values())
        return waits and self.elapsed() - self._asked_at >= ASK_AGAIN_S

    def ask(self) -> bool:
        """Fetch the manifest and take what stands in it. Whether that went well; if not, ask again later."""
        run_id = self.world.run_id
        self._asked_at = self.elapsed()
        try:
            orders, bad = parse_manifest(self.api.manifest(), self.host_id)
            self._take(orders, run_id)
        except (ApiError, WireError, EngineError, JournalError) as error:
            self.log.say("manifest not fetched", reason=str(error))
            return False
        for each in bad:
            self.log.say("order refused", instance_id=each.instance_id, reason=each.reason)
        self._asked_run = run_id
        self.log.say("manifest fetched", orders=len(orders))
        for instance_id in self.ledger.view().records:
            self.attend(instance_id)
        return True

    def _take(self, orders: Collection[Order], run_id: str) -> None:
        if self.ledger.view().lost:
            uuids = {gpu["index"]: gpu["uuid"] for gpu in self.world.inventory["gpus"]}
            self.ledger.rebuild(self.world.containers(), uuids, orders)
        for order, verdict in self.ledger.admit(orders, self.world.gpu_uuids, None, run_id):
            if isinstance(verdict, Refused):
                self.log.say("order refused", instance_id=order.instance_id, reason=verdict.reason)
        self.ledger.note_asked()
