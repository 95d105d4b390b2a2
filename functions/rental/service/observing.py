"""Take in a host's report: refuse what is not news, hold it against what is wanted, answer the tasks that waited.

A report counts as taken in only once everything in it is committed: until then it is news when it is delivered again.
One that comes while an older one, or the sweep, may still be at work on the same host first writes its number into the
manifest; from then on nothing older can be committed.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rental.domain.book import Book
from rental.domain.contract import Contract
from rental.domain.errors import BusyError, NotFoundError
from rental.domain.ids import ContractId, HostId
from rental.domain.liveness import Phase, Presence, Sighting, Standing, judge, meet
from rental.domain.observation import Report, contracts_to_read, observe
from rental.domain.silence import quarantine
from rental.ports import NO_EXTRAS, Extras, Liveness, Tasks
from rental.service.ledger import ATTEMPTS, Ledger, portions
from rental.service.life import answer_for

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observing:
    """Runs the same for a change and for a plain heartbeat: both carry the whole state."""

    ledger: Ledger
    liveness: Liveness
    tasks: Tasks

    def observe(self, report: Report, sighting: Sighting) -> bool:
        """Returns False, having changed nothing, for a report that is repeated or older than one seen before.

        Raises NotFoundError, BusyError; then the same report may come again.
        """
        standing, presence = self._meet(sighting)
        match standing:
            case Standing.KNOWN:
                return False
            case Standing.FORKED:
                self._quarantine(report.host_id, sighting.seq)
                return False
            case Standing.OVERTAKING:
                self._overtake(report.host_id, sighting.seq)
            case Standing.NEWS:
                pass
        self._take_in(report, sighting.seq)
        self.liveness.swap(presence, presence.enter(Phase.SETTLED))  # unless a newer one has come meanwhile
        return True

    def _meet(self, sighting: Sighting) -> tuple[Standing, Presence]:
        for _ in range(ATTEMPTS):
            known = self.liveness.read(sighting.host_id)
            standing = judge(known, sighting)
            if known is not None and standing in (Standing.KNOWN, Standing.FORKED):
                return standing, known
            met = self.liveness.swap(known, meet(known, sighting))
            if met is not None:
                return standing, met
        raise BusyError("Too many reports of this host at once. The next one says the same.")

    def _overtake(self, host_id: HostId, seq: int) -> None:
        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(host_id)
            heard_seq = max(before.manifest.heard_seq, seq)
            return before, before.with_manifest(replace(before.manifest, heard_seq=heard_seq)), NO_EXTRAS

        self.ledger.change(attempt)

    def _take_in(self, report: Report, seq: int) -> None:
        manifest = self.ledger.open_book(report.host_id).manifest
        touched = contracts_to_read(manifest, report, self.ledger.clock.now())
        for portion in portions(manifest, touched):
            self._take_in_portion(report, seq, portion)
        if manifest.offline_since is not None:
            self._reopen(report.host_id, seq)

    def _take_in_portion(self, report: Report, seq: int, contract_ids: Sequence[ContractId]) -> None:
        waited: dict[ContractId, Mapping[str, str]] = {}

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(report.host_id, contract_ids)
            waited.clear()
            if before.manifest.heard_seq > seq:
                return before, before, NO_EXTRAS
            waited.update({each.id: each.task_tokens for each in before.contracts.values()})
            return before, observe(before, report, now), NO_EXTRAS

        after = self.ledger.change(attempt)
        for contract in after.contracts.values():
            self._answer(contract, waited.get(contract.id, {}))

    def _reopen(self, host_id: HostId, seq: int) -> None:
        """Bring the host back to the market, once all its contracts show again what is."""

        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(host_id)
            if before.manifest.heard_seq > seq:
                return before, before, NO_EXTRAS
            return before, before.with_manifest(replace(before.manifest, offline_since=None)), NO_EXTRAS

        self.ledger.change(attempt)

    def _quarantine(self, host_id: HostId, seq: int) -> None:
        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = self.ledger.open_book(host_id)
            host = self.ledger.store.read_host(host_id)
            if host is None:
                raise NotFoundError("There is no such host.")
            if before.manifest.barred is not None:
                return before, before, NO_EXTRAS
            barred, manifest = quarantine(host, before.manifest, seq)
            return before, before.with_manifest(manifest), Extras(host=barred)

        self.ledger.change(attempt)
        _log.error("host quarantined", extra={"host_id": host_id, "seq": seq})

    def _answer(self, contract: Contract, tokens: Mapping[str, str]) -> None:
        answer = answer_for(contract, contract.run)
        for step, token in tokens.items():
            if answer.next != step:
                self.tasks.succeed(token, answer.to_json())
