"""The book of a host: its manifest with the contracts that a decision touches, and what followed from the decision.

Decisions are pure functions from book to book. Whoever stores a book writes the manifest, the contracts and the
timeline in one transaction, guarded by what was read; only then the bells are rung.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rental.domain.allocation import Manifest, enter_claim, release_claim
from rental.domain.contract import Contract, Instance
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.domain.lifecycle import Desired


@dataclass(frozen=True)
class Cause:
    """Who changed something, and why: for the timeline."""

    actor: str
    cause: str


@dataclass(frozen=True)
class TimelineEntry:
    """One transition of a contract or of one of its instances."""

    contract_id: ContractId
    seq: int
    at: int
    actor: str
    cause: str
    status: str
    instance_id: InstanceId | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Bell:
    """Tell the host that something is wanted of an instance; the dispatcher reads what.

    `call_id` names what somebody waits for besides (`calls.py`).
    """

    host_id: HostId
    contract_id: ContractId
    instance_id: InstanceId
    generation: int
    urgent: bool
    call_id: str | None = None


@dataclass(frozen=True)
class Book:
    manifest: Manifest
    contracts: Mapping[ContractId, Contract] = field(default_factory=dict)
    timeline: tuple[TimelineEntry, ...] = ()
    bells: tuple[Bell, ...] = ()

    def contract(self, contract_id: ContractId) -> Contract:
        return self.contracts[contract_id]

    def with_manifest(self, manifest: Manifest) -> "Book":
        return replace(self, manifest=manifest)

    def with_contract(self, contract: Contract) -> "Book":
        """Enter the contract, and its claim beside it; once everything is gone, what it held returns."""
        if contract.is_released:
            manifest = release_claim(self.manifest, contract.id)
        else:
            manifest = enter_claim(self.manifest, contract)
        return replace(self, manifest=manifest, contracts={**self.contracts, contract.id: contract})

    def note(self, contract_id: ContractId, status: str, now: int, cause: Cause, **details: object) -> "Book":
        """Add a line to the contract's timeline."""
        contract = self.contract(contract_id)
        seq = contract.seq + 1
        entry = TimelineEntry(contract_id, seq, now, cause.actor, cause.cause, status, **details)  # type: ignore[arg-type]
        noted = self.with_contract(replace(contract, seq=seq))
        return replace(noted, timeline=(*self.timeline, entry))

    def ring(self, contract_id: ContractId, instance: Instance) -> "Book":
        """Have the host told of the instance's wanted state."""
        urgent = instance.desired is not Desired.RUNNING
        bell = Bell(self.manifest.host_id, contract_id, instance.id, instance.generation, urgent)
        return replace(self, bells=(*self.bells, bell))
