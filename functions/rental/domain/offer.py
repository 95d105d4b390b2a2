"""Offers: what a listed host would rent now, computed from its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass

from rental.domain.allocation import Listing, Manifest, lowest_free_slice, slice_sizes
from rental.domain.errors import ConflictError
from rental.domain.ids import HostId, OfferId
from rental.domain.money import slice_price_microusd_h
from rental.domain.offered_modes import offered_modes
from rental.domain.shares import GIB, Share, share_of
from rental.domain.ways_in import JupyterVia, Proxy


@dataclass(frozen=True)
class Offer:
    """A size on a host. `gpu_indexes` is what would be taken now, empty when nothing of this size is free.

    `modes` are those that can be had now, each with the ways in: none while there is a `reason`. Whether the proxy has
    a number left is in no manifest: that shows when it is rented.
    """

    id: OfferId
    host_id: HostId
    gpu_name: str
    num_gpus: int
    gpu_indexes: tuple[int, ...]
    price_microusd_h: int
    disk_price_microusd_gib_month: int
    max_duration_s: int
    end_at: int
    disk_free_gib: int
    disk_enforced: bool
    simulated: bool
    unenforced: tuple[str, ...]
    share: Share
    reason: str | None
    modes: Mapping[str, tuple[JupyterVia, ...]]


def offers_of(manifest: Manifest, now: int, proxy: Proxy | None = None) -> tuple[Offer, ...]:
    """What can be rented on the host now, smallest first."""
    listing = manifest.listing
    if listing is None or listing.end_at <= now:
        return ()
    sizes = slice_sizes(manifest.capacity.gpus, listing.min_gpus)
    modes = offered_modes(manifest, proxy)
    found = (_offer(manifest, size, now, modes) for size in sizes if size in listing.offers)
    return tuple(offer for offer in found if offer.gpu_indexes and offer.disk_free_gib > 0)


def offer_of(manifest: Manifest, size: int, now: int, proxy: Proxy | None = None) -> Offer:
    """The offer of this size, also when it is taken; raises ConflictError when the host is not listed."""
    return _offer(manifest, size, now, offered_modes(manifest, proxy))


def _offer(manifest: Manifest, size: int, now: int, modes: Mapping[str, tuple[JupyterVia, ...]]) -> Offer:
    listing = listing_of(manifest)
    indexes = lowest_free_slice(manifest, size) or ()
    reason = _why_not(manifest, indexes, now)
    return Offer(
        id=listing.offers[size],
        host_id=manifest.host_id,
        gpu_name=manifest.inventory.gpus[0].name,
        num_gpus=size,
        gpu_indexes=indexes,
        price_microusd_h=slice_price_microusd_h(listing.gpu_price_microusd_h, size),
        disk_price_microusd_gib_month=listing.disk_price_microusd_gib_month,
        max_duration_s=max(0, listing.end_at - now),
        end_at=listing.end_at,
        disk_free_gib=manifest.disk_free_bytes // GIB,
        disk_enforced=manifest.inventory.disk_enforced,
        simulated=manifest.inventory.simulated,
        unenforced=manifest.inventory.unenforced,
        share=share_of(manifest.capacity, indexes or range(size), 0),
        reason=reason,
        modes=modes if reason is None else {},
    )


def _why_not(manifest: Manifest, indexes: tuple[int, ...], now: int) -> str | None:
    """Why the offer cannot be rented now; None while it can."""
    if not manifest.is_in_reach:
        return "Its host does not answer now."
    if not manifest.is_ready:
        return "Its host is not ready now; its owner is told why."
    if listing_of(manifest).end_at <= now:
        return "The host's listing has ended."
    if not indexes:
        return "It is taken: not enough of its GPUs are free side by side."
    return "All its disk is taken." if manifest.disk_free_bytes < GIB else None


def listing_of(manifest: Manifest) -> Listing:
    if manifest.listing is None:
        raise ConflictError("The host is no longer listed. Search for another offer.")
    return manifest.listing
