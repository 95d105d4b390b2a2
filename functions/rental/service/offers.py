"""What can be rented now."""

from dataclasses import dataclass

from rental.domain.errors import NotFoundError
from rental.domain.ids import OfferId
from rental.domain.offer import Offer, offer_of, offers_of
from rental.domain.ways_in import Proxy
from rental.ports import Clock, Page, Store

HOSTS_PER_PAGE = 100


@dataclass(frozen=True)
class Offers:
    """`proxy` is the deployment's, by which more modes can be had."""

    store: Store
    clock: Clock
    proxy: Proxy | None

    def list_offers(self, cursor: str | None) -> Page[Offer]:
        """The offers of the next hosts on the market: lists follow an index and may lag by moments."""
        page = self.store.list_listed(cursor, HOSTS_PER_PAGE)
        now = self.clock.now()
        return Page([offer for manifest in page.items for offer in offers_of(manifest, now, self.proxy)], page.next)

    def show_offer(self, offer_id: OfferId) -> Offer:
        """Raises NotFoundError when its listing has changed."""
        place = self.store.read_offer_place(offer_id)
        manifest = self.store.read_manifest(place.host_id) if place is not None else None
        listing = manifest.listing if manifest is not None else None
        if place is None or manifest is None or listing is None or offer_id not in listing.offers.values():
            raise NotFoundError("There is no such offer. Search again.")
        return offer_of(manifest, place.num_gpus, self.clock.now(), self.proxy)
