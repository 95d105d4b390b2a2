"""What owners do with their machines: add, look, list, take off the market."""

from dataclasses import replace

import pytest

from rental.domain.errors import (
    BusyError,
    ForbiddenError,
    HostNotReadyError,
    InvalidRequestError,
    NotFoundError,
)
from rental.domain.ids import HostId
from rental.ports import TakenError
from rental.service.hosts import ListingTerms
from tests.fakes.builders import HOST, make_inventory
from tests.fakes.ports import NOW, FakeEntropy
from tests.fakes.world import World, client, offer, owner, stranger

TERMS = ListingTerms(2_000_000, 100_000, NOW + 7200, min_gpus=1, allow_soft_disk=False)


def test_listing_anew_gives_every_offer_a_new_id_and_ends_the_old_ones() -> None:
    world = World().add_host()
    before = world.offers.list_offers(None).items
    world.hosts.list_for_rent(HOST, owner, replace(TERMS, min_gpus=2))
    after = world.offers.list_offers(None).items
    assert [each.num_gpus for each in after] == [2, 4]
    assert not {each.id for each in before} & {each.id for each in after}
    with pytest.raises(NotFoundError):
        world.offers.show_offer(before[0].id)
    assert world.offers.show_offer(after[0].id).price_microusd_h == 4_000_000


def test_a_new_listing_does_not_change_the_price_of_running_contracts() -> None:
    world = World().add_host()
    contract = world.rent_active()
    world.hosts.list_for_rent(HOST, owner, TERMS)
    assert world.read(contract.id).price_microusd_h == contract.price_microusd_h == 1_250_000


def test_a_host_off_the_market_keeps_its_contracts() -> None:
    world = World().add_host()
    contract = world.rent_active()
    assert world.hosts.unlist(HOST, owner).listing is None
    assert world.offers.list_offers(None).items == []
    with pytest.raises(NotFoundError):
        world.offers.show_offer(offer())
    with pytest.raises(NotFoundError):
        world.rent()
    assert list(world.manifest().claims) == [contract.id]
    world.hosts.unlist(HOST, owner)


@pytest.mark.parametrize("who", [stranger, client])
def test_anothers_host_is_not_found(who: object) -> None:
    world = World().add_host()
    with pytest.raises(NotFoundError):
        world.hosts.show_host(HOST, who)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        world.hosts.list_for_rent(HOST, who, TERMS)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        world.hosts.unlist(HOST, who)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        world.hosts.show_host(HostId(5), owner)


def test_a_host_that_has_not_registered_cannot_be_listed() -> None:
    world = World()
    host = world.hosts.add_host(owner, "").host
    with pytest.raises(HostNotReadyError):
        world.hosts.list_for_rent(host.id, owner, TERMS)
    assert world.hosts.show_host(host.id, owner).manifest is None


def test_terms_that_cannot_hold_are_refused() -> None:
    world = World().add_host()
    for terms in (replace(TERMS, end_at=NOW), replace(TERMS, min_gpus=5)):
        with pytest.raises(InvalidRequestError):
            world.hosts.list_for_rent(HOST, owner, terms)


def test_simulated_gpus_are_listed_only_where_the_stage_allows_it() -> None:
    world = World().add_host()
    strict = replace(world.hosts, allow_simulated_gpus=False)
    with pytest.raises(ForbiddenError):
        strict.list_for_rent(HOST, owner, TERMS)


def test_a_host_without_disk_limits_is_listed_only_when_its_owner_says_so() -> None:
    world = World()
    admission = world.hosts.add_host(owner, "")
    world.nodes.joined[admission.activation.activation_id] = "mi-1"
    soft = make_inventory(disk_enforced=False)
    world.machines.register(admission.registration_token, world.machine.key, soft)
    with pytest.raises(HostNotReadyError):
        world.hosts.list_for_rent(admission.host.id, owner, TERMS)
    world.hosts.list_for_rent(admission.host.id, owner, replace(TERMS, allow_soft_disk=True))
    assert {each.disk_enforced for each in world.offers.list_offers(None).items} == {False}


def test_ids_of_hosts_are_drawn_again_on_a_clash() -> None:
    world = World(entropy=FakeEntropy(repeat=4))
    first, second = world.hosts.add_host(owner, "a"), world.hosts.add_host(owner, "b")
    assert first.host.id != second.host.id
    with pytest.raises(TakenError):
        world.store.create_host(first.host)
    with pytest.raises(BusyError):
        for _ in range(2):
            replace(world.hosts, ledger=replace(world.ledger, entropy=FakeEntropy(repeat=1 << 20))).add_host(owner, "")


def test_two_sizes_of_a_listing_never_have_one_offer() -> None:
    world = World(entropy=FakeEntropy(repeat=2)).add_host(4)
    listing = world.manifest().listing
    assert listing is not None
    assert len(set(listing.offers.values())) == len(listing.offers) == 3


def test_adding_a_host_survives_a_table_that_is_busy() -> None:
    world = World()
    world.faults.append("conflict")
    assert world.hosts.add_host(owner, "rack").host.owner == owner.account


def test_an_owner_sees_who_holds_its_gpus_and_when_the_host_was_heard() -> None:
    world = World().add_host()
    world.rent_active()
    view = world.hosts.show_host(HOST, owner)
    assert view.last_seen_at == NOW
    assert view.manifest is not None
    assert set(view.manifest.leases) == {0}
    assert [each.host.id for each in world.hosts.list_hosts(owner, None, 10).items] == [HOST]
