"""Say where a host is reached from outside, and take it back.

Contracts keep their numbers, whatever is declared later. Where only the address has changed, they follow: a machine
that has moved still has them. The manifest comes first, so that what is rented meanwhile has the new address already;
whoever finds contracts left behind after a crash declares the same again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rental.domain.book import Book
from rental.domain.ids import ContractId, HostId
from rental.domain.ways_in import Direct, declare
from rental.ports import NO_EXTRAS, Extras, Principal
from rental.service.ledger import Ledger, portions
from rental.service.owning import open_own_book


@dataclass(frozen=True)
class Opening:
    """`allow_loopback`: an address that leads nowhere from elsewhere is let pass, for trying the service out."""

    ledger: Ledger
    allow_loopback: bool

    def declare_direct(self, host_id: HostId, caller: Principal, address: str, first_port: int, last_port: int) -> None:
        """Raises InvalidRequestError, NotFoundError, HostNotReadyError, HostRetiredError, BusyError."""
        direct = declare(address, first_port, last_port, allow_loopback=self.allow_loopback)
        book = self._set(host_id, caller, direct)
        published = [each for each, claim in book.manifest.claims.items() if claim.tcp_ports or claim.udp_ports]
        if published:
            for portion in portions(book.manifest, published):
                self._move(host_id, portion, direct)

    def withdraw_direct(self, host_id: HostId, caller: Principal) -> None:
        """Publish nothing for new contracts. Raises as `declare_direct`."""
        self._set(host_id, caller, None)

    def _set(self, host_id: HostId, caller: Principal, direct: Direct | None) -> Book:
        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = open_own_book(self.ledger, host_id, caller)
            return before, before.with_manifest(replace(before.manifest, direct=direct)), NO_EXTRAS

        return self.ledger.change(attempt)

    def _move(self, host_id: HostId, contract_ids: Sequence[ContractId], direct: Direct) -> None:
        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            # The contracts before the manifest: whoever declares another address from here on moves them after this.
            found = {each.id: each for each in self.ledger.store.read_contracts(contract_ids)}
            before = after = replace(self.ledger.open_book(host_id), contracts=found)
            if before.manifest.direct == direct:  # else somebody has declared another since, and moves them there
                for contract in before.contracts.values():
                    # One that is there already is not written, so what is entered of it would not be guarded.
                    if contract.address not in (None, direct.address):
                        after = after.with_contract(replace(contract, address=direct.address))
            return before, after, NO_EXTRAS

        self.ledger.change(attempt)
