"""Mark the hosts that have fallen silent: a sweep over the small liveness table, the same work each minute.

The liveness item says `leaving` before anything is marked, so a report that comes meanwhile knows what it overtakes;
and `offline` after, so that a host is marked once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from rental.domain.book import Book
from rental.domain.ids import ContractId, HostId
from rental.domain.liveness import Phase, Presence, fallen_silent, is_burst
from rental.domain.silence import close_silent, fall_silent
from rental.ports import NO_EXTRAS, Extras, Liveness
from rental.service.by_itself import each_by_itself
from rental.service.ledger import Ledger, portions

BRAKE_LINE = "brake"
"""The message that the alarm counts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Silence:
    ledger: Ledger
    liveness: Liveness

    def sweep(self, brake: bool = True) -> int:
        """Mark who is silent for too long; returns how many hosts. Too many at once are our own fault: none then."""
        now = self.ledger.clock.now()
        known = self._without_retired(tuple(self.liveness.list_all()), now)
        silent = fallen_silent(known, now)
        if brake and is_burst(known, now):
            _log.error(BRAKE_LINE, extra={"silent": len(silent), "hosts": len(known)})
            return 0
        marked = {each.host_id: each for each in silent}
        return each_by_itself(marked, lambda each: self._mark(marked[each]), "host not marked")

    def _without_retired(self, known: Sequence[Presence], now: int) -> Sequence[Presence]:
        """Those of whom silence means something. Who was given up is looked up once, when it has fallen silent."""
        retired = [each for each in fallen_silent(known, now) if self._is_retired(each.host_id)]
        for each in retired:
            self.liveness.swap(each, each.enter(Phase.RETIRED))
        return [each for each in known if each not in retired]

    def _is_retired(self, host_id: HostId) -> bool:
        host = self.ledger.store.read_host(host_id)
        return host is not None and host.is_retired

    def _mark(self, presence: Presence) -> bool:
        leaving = self.liveness.swap(presence, presence.enter(Phase.LEAVING))
        if leaving is None:
            return False  # heard meanwhile
        self._close(presence)
        return self.liveness.swap(leaving, leaving.enter(Phase.OFFLINE)) is not None

    def _close(self, presence: Presence) -> None:
        def close(_now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(presence.host_id)
            closed = close_silent(before.manifest, presence.seen_at, presence.seq)
            return before, before.with_manifest(closed), NO_EXTRAS

        manifest = self.ledger.change(close).manifest  # from here on it takes no new contract
        for portion in portions(manifest, tuple(manifest.claims)):
            self._close_contracts(presence, portion)

    def _close_contracts(self, presence: Presence, contract_ids: Sequence[ContractId]) -> None:
        def close(now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(presence.host_id, contract_ids)
            heard = before.manifest.heard_seq > presence.seq
            return before, before if heard else fall_silent(before, now), NO_EXTRAS

        self.ledger.change(close)
