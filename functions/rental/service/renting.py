"""Rent a GPU: the one transaction that makes a contract."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rental.domain.book import Book
from rental.domain.contract import Contract, Sealed
from rental.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from rental.domain.ids import CELL_BITS, INSTANCE_BITS, RANDOM_BITS, ContractId, OfferId, compose_id
from rental.domain.letting_in import first_keys, takes_ssh_keys
from rental.domain.publishing import count_proxy_ports
from rental.domain.renting import Drawn, RentalRequest, RentalTerms, open_contract
from rental.ports import NO_EXTRAS, Extras, OfferPlace, Sealer, TokenMaker, Workflows
from rental.service.ledger import Ledger
from rental.service.numbering import draw_proxy_ports
from rental.service.repeating import Repeatable, memo_of, read_earlier

MAX_SECRETS_BYTES = 128 * 1024


@dataclass(frozen=True)
class Renting:
    """Opens contracts. `cell` is this deployment's part of every id."""

    ledger: Ledger
    sealer: Sealer
    tokens: TokenMaker
    workflows: Workflows
    terms: RentalTerms
    cell: int

    def open_contract(
        self, request: RentalRequest, secrets: Mapping[str, Any], repeatable: Repeatable | None
    ) -> Contract:
        """Rent; the answer of a repeated request is the contract that the first one made.

        Raises NotFoundError, InvalidRequestError, OfferTakenError, HostFullError, HostNotReadyError,
        ModeNotServedError, NotReachableError, NoPortsFreeError, BusyError, IdempotencyMismatchError.
        """
        made: list[ContractId] = []

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            earlier = self._repeated(request.account, repeatable, now)
            if earlier is not None:
                made[:] = [earlier.id]
                book = Book(self.ledger.open_book(earlier.host_id).manifest, {earlier.id: earlier})
                return book, book, NO_EXTRAS
            try:
                before, after, extras = self._open(request, secrets, repeatable, now)
            except ConflictError:
                if self._repeated(request.account, repeatable, now) is None:
                    raise
                return attempt(now)  # what is gone went to the same request, sent twice at once
            made[:] = list(after.contracts)
            return before, after, extras

        book = self.ledger.change(attempt)
        contract = book.contract(made[0])
        if contract.rev <= 1:
            self.workflows.start(contract.id, contract.run)
        return contract

    def _open(
        self, request: RentalRequest, secrets: Mapping[str, Any], repeatable: Repeatable | None, now: int
    ) -> tuple[Book, Book, Extras]:
        place = self._place(request.offer_id)
        request = self._with_ssh_keys(request)
        before = self.ledger.open_book(place.host_id)
        listing = before.manifest.listing
        if listing is None or listing.offers.get(place.num_gpus) != request.offer_id:
            raise NotFoundError("The offer is gone: its host has a new listing. Search again.")
        ids = self._draw_ids(request.instances, now)
        drawn = Drawn(ids, self._draw_proxy_ports(request))
        contract_id = ContractId(ids[0])
        if request.launch.mode == "jupyter":
            secrets = {**secrets, "jupyter_token": self.tokens.jupyter_token(contract_id)}
        sealed = self._sealed(before, contract_id, secrets)
        request = replace(request, num_gpus=place.num_gpus, launch=replace(request.launch, sealed=sealed))
        after = open_contract(before.manifest, request, self.terms, drawn, now)
        memo = memo_of(request.account, repeatable, contract_id, now)
        return before, after, Extras(memo=memo)

    def _place(self, offer_id: OfferId) -> OfferPlace:
        place = self.ledger.store.read_offer_place(offer_id)
        if place is None:
            raise NotFoundError("There is no such offer. Search again.")
        return place

    def _with_ssh_keys(self, request: RentalRequest) -> RentalRequest:
        """Raises InvalidRequestError, and ConflictError where nobody could get in."""
        wants_all = request.ssh_keys is None and takes_ssh_keys(request.launch.mode)
        kept = self.ledger.store.read_key_ring(request.account).lines if wants_all else ()
        keys = first_keys(request.launch.mode, request.ssh_keys, kept)
        return replace(request, launch=replace(request.launch, ssh_keys=keys))

    def _sealed(self, book: Book, contract_id: ContractId, secrets: Mapping[str, Any]) -> Sealed:
        host = self.ledger.store.read_host(book.manifest.host_id)
        if host is None or host.machine_key is None:
            raise InvalidRequestError("The host of this offer has no machine key. Choose another offer.")
        plaintext = json.dumps(secrets, separators=(",", ":")).encode()
        if len(plaintext) > MAX_SECRETS_BYTES:
            raise InvalidRequestError(f"env, entrypoint and args exceed {MAX_SECRETS_BYTES} bytes of JSON together.")
        return self.sealer.seal(host.machine_key, contract_id, plaintext)

    def _repeated(self, account: str, repeatable: Repeatable | None, now: int) -> Contract | None:
        memo = read_earlier(self.ledger.store, account, repeatable, now)
        return self.ledger.store.read_contract(ContractId(int(memo.made))) if memo is not None else None

    def _draw_proxy_ports(self, request: RentalRequest) -> Sequence[int]:
        proxy = self.terms.proxy
        count = count_proxy_ports(request.launch, request.instances, proxy)
        return draw_proxy_ports(self.ledger, proxy, count) if proxy is not None and count else ()

    def _draw_ids(self, count: int, now: int) -> Sequence[int]:
        """The contract's, which its write refuses if it exists, and what it keeps free for more instances."""
        drawn = self.ledger.entropy.below(1 << RANDOM_BITS - INSTANCE_BITS)
        first = compose_id(now, self.cell % (1 << CELL_BITS), drawn << INSTANCE_BITS)
        return range(first, first + count)
