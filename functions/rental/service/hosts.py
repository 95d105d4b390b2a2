"""What host owners do: add a machine, look at it, list it for rent, take it off the market."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rental.domain.allocation import Listing, Manifest, slice_sizes
from rental.domain.book import Book
from rental.domain.errors import (
    AlreadyDoneError,
    BusyError,
    ForbiddenError,
    HostNotReadyError,
    InvalidRequestError,
    NotFoundError,
)
from rental.domain.host import Host, HostStatus
from rental.domain.ids import CELL_BITS, RANDOM_BITS, HostId, OfferId, compose_id
from rental.domain.readiness import MODES
from rental.ports import (
    Activation,
    Activations,
    Extras,
    GuardFailedError,
    Liveness,
    OfferPlace,
    Page,
    Principal,
    TakenError,
)
from rental.service.ledger import ATTEMPTS, Ledger
from rental.service.owning import open_own_book
from rental.service.repeating import Repeatable, memo_of, read_earlier

REGISTRATION_S = 3600


@dataclass(frozen=True)
class ListingTerms:
    """What an owner asks for: prices in micro-dollars, `end_at` in epoch seconds."""

    gpu_price_microusd_h: int
    disk_price_microusd_gib_month: int
    end_at: int
    min_gpus: int
    allow_soft_disk: bool


@dataclass(frozen=True)
class Admission:
    """What the owner needs, once, to make a machine join."""

    host: Host
    registration_token: str
    activation: Activation


@dataclass(frozen=True)
class ListedHost:
    """A host as the list of an owner's hosts has it, with what is on it."""

    host: Host
    manifest: Manifest | None

    @property
    def reason(self) -> str | None:
        """Why nothing of it can be rented, where that is not the owner's wish."""
        if self.host.why is None and self.manifest is not None and self.manifest.offline_since is not None:
            return "The host is silent. Look at its network, its SSM agent and the service gpulease-host."
        if self.host.why is None and self.not_ready:
            return " ".join(self.not_ready)
        return self.host.why

    @property
    def not_ready(self) -> tuple[str, ...]:
        """What makes its machine unfit, each in a sentence."""
        return self.manifest.not_ready if self.manifest is not None else ()


@dataclass(frozen=True)
class HostView(ListedHost):
    last_seen_at: int | None

    @property
    def modes(self) -> Mapping[str, str | None]:
        """Each launch mode with None, or why the machine does not serve it now; empty until it has registered."""
        if self.manifest is None:
            return {}
        return {mode: self.manifest.readiness.why_not_served(mode) for mode in MODES}


@dataclass(frozen=True)
class Hosts:
    ledger: Ledger
    liveness: Liveness
    activations: Activations
    cell: int
    allow_simulated_gpus: bool

    def add_host(self, caller: Principal, label: str, repeatable: Repeatable | None = None) -> Admission:
        """A new host that waits for its machine for one hour.

        Its token is shown once and kept as a hash, so a repeated request is refused (AlreadyDoneError) and told which
        host the first one made. Raises IdempotencyMismatchError, BusyError.
        """
        now = self.ledger.clock.now()
        secret = self.ledger.entropy.token()
        for _ in range(ATTEMPTS):
            earlier = read_earlier(self.ledger.store, caller.account, repeatable, now)
            if earlier is not None:
                raise AlreadyDoneError(
                    f"This request added the host {earlier.made}, whose registration token was shown once. If you have "
                    "not received it, add another host with a new Idempotency-Key."
                )
            host_id = HostId(self._draw(now))
            activation = self.activations.create_activation(host_id, now + REGISTRATION_S)
            host = Host(
                id=host_id,
                owner=caller.account,
                label=label,
                status=HostStatus.REGISTERING,
                created_at=now,
                registration_sha256=hashlib.sha256(secret.encode()).hexdigest(),
                registration_expires_at=now + REGISTRATION_S,
                activation_id=activation.activation_id,
            )
            try:
                self.ledger.store.create_host(host, memo_of(caller.account, repeatable, host_id, now))
            except (GuardFailedError, TakenError):
                continue
            return Admission(host, f"{host_id}.{secret}", activation)
        raise BusyError("No free id was found. Send the same request again.")

    def list_hosts(self, caller: Principal, cursor: str | None, limit: int) -> Page[ListedHost]:
        store = self.ledger.store
        page = store.list_hosts(caller.account, cursor, limit)
        manifests = {each.host_id: each for each in store.read_manifests([host.id for host in page.items])}
        return Page([ListedHost(host, manifests.get(host.id)) for host in page.items], page.next)

    def show_host(self, host_id: HostId, caller: Principal) -> HostView:
        """Raises NotFoundError when it is not the caller's."""
        host = self.ledger.store.read_host(host_id)
        if host is None or host.owner != caller.account:
            raise NotFoundError("There is no such host.")
        presence = self.liveness.read(host_id)
        seen_at = presence.seen_at if presence is not None else None
        return HostView(host, self.ledger.store.read_manifest(host_id), seen_at)

    def list_for_rent(self, host_id: HostId, caller: Principal, terms: ListingTerms) -> Manifest:
        """Put the host on the market, or change how it stands there: every offer gets a new id.

        Running contracts keep their prices. Raises NotFoundError, HostNotReadyError, InvalidRequestError.
        """

        def attempt(now: int) -> tuple[Book, Book, Extras]:
            before = open_own_book(self.ledger, host_id, caller)
            self._check_terms(before.manifest, terms, now)
            sizes = slice_sizes(before.manifest.capacity.gpus, terms.min_gpus)
            offers = dict(zip(sizes, self._draw_offers(len(sizes), before.manifest, now), strict=True))
            listing = _listing(before.manifest, terms, offers)
            after = before.with_manifest(replace(before.manifest, listing=listing))
            places = tuple(OfferPlace(offer_id, host_id, size) for size, offer_id in offers.items())
            return before, after, Extras(new_offers=places, dropped_offers=offers_in(before.manifest))

        return self.ledger.change(attempt).manifest

    def _draw_offers(self, count: int, manifest: Manifest, now: int) -> Sequence[OfferId]:
        """As many different ones, and none of those that they replace: no item is written twice in a transaction."""
        replaced = offers_in(manifest)
        drawn: list[OfferId] = []
        while len(drawn) < count:
            offer_id = OfferId(self._draw(now))
            if offer_id not in drawn and offer_id not in replaced:
                drawn.append(offer_id)
        return drawn

    def unlist(self, host_id: HostId, caller: Principal) -> Manifest:
        """Take the host off the market; contracts stay. Raises NotFoundError."""

        def attempt(_now: int) -> tuple[Book, Book, Extras]:
            before = open_own_book(self.ledger, host_id, caller)
            after = before.with_manifest(replace(before.manifest, listing=None))
            return before, after, Extras(dropped_offers=offers_in(before.manifest))

        return self.ledger.change(attempt).manifest

    def _check_terms(self, manifest: Manifest, terms: ListingTerms, now: int) -> None:
        if manifest.inventory.simulated and not self.allow_simulated_gpus:
            raise ForbiddenError("A host with simulated GPUs cannot be listed in this deployment.")
        if not manifest.is_ready:
            raise HostNotReadyError(f"The host is not ready. {' '.join(manifest.not_ready)}")
        if not manifest.inventory.disk_enforced and not terms.allow_soft_disk:
            raise HostNotReadyError(
                "This host cannot enforce disk limits. Set allow_soft_disk to list it with disk that is only watched."
            )
        if terms.end_at <= now:
            raise InvalidRequestError("end_at must be in the future.")
        if terms.min_gpus > manifest.capacity.gpus:
            raise InvalidRequestError(f"The host has {manifest.capacity.gpus} GPUs: min_gpus is too large.")

    def _draw(self, now: int) -> int:
        return compose_id(now, self.cell % (1 << CELL_BITS), self.ledger.entropy.below(1 << RANDOM_BITS))


def _listing(manifest: Manifest, terms: ListingTerms, offers: dict[int, OfferId]) -> Listing:
    revision = manifest.listing.revision + 1 if manifest.listing is not None else 1
    return Listing(
        gpu_price_microusd_h=terms.gpu_price_microusd_h,
        disk_price_microusd_gib_month=terms.disk_price_microusd_gib_month,
        end_at=terms.end_at,
        min_gpus=terms.min_gpus,
        allow_soft_disk=terms.allow_soft_disk,
        revision=revision,
        offers=offers,
    )


def offers_in(manifest: Manifest) -> tuple[OfferId, ...]:
    """The ids of the offers in its listing."""
    return tuple(manifest.listing.offers.values()) if manifest.listing is not None else ()
