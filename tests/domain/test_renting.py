"""Rules 1 and 7: offers are sizes, renting takes the lowest aligned slice, disk is reserved at once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rental.domain.allocation import (
    MAX_CONTRACTS_PER_HOST,
    MAX_INSTANCES_PER_HOST,
    Claim,
    ClaimedInstance,
    Waiter,
    lowest_free_slice,
    slice_sizes,
)
from rental.domain.book import Book
from rental.domain.errors import (
    ConflictError,
    DurationTooLongError,
    HostFullError,
    InvalidRequestError,
    OfferTakenError,
)
from rental.domain.ids import ContractId, InstanceId
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus
from rental.domain.offer import offer_of, offers_of
from rental.domain.shares import GIB
from tests.fakes.builders import CLIENT, DISK_GIB, LISTED_FOR_S, TERMS, make_listing, make_manifest, rent
from tests.fakes.ports import NOW


@pytest.mark.parametrize(
    ("gpus", "smallest", "sizes"),
    [(4, 1, (1, 2, 4)), (8, 2, (2, 4, 8)), (6, 1, (1, 2, 4, 6)), (3, 3, (3,)), (1, 1, (1,)), (4, 3, (4,))],
)
def test_a_host_is_offered_in_powers_of_two_and_whole(gpus: int, smallest: int, sizes: tuple[int, ...]) -> None:
    assert slice_sizes(gpus, smallest) == sizes


def test_each_size_is_one_offer_with_the_price_of_the_slice() -> None:
    offers = offers_of(make_manifest(), NOW)
    assert [(each.num_gpus, each.gpu_indexes) for each in offers] == [(1, (0,)), (2, (0, 1)), (4, (0, 1, 2, 3))]
    assert [each.price_microusd_h for each in offers] == [1_250_000, 2_500_000, 5_000_000]
    assert {each.max_duration_s for each in offers} == {LISTED_FOR_S}


def test_an_offer_shows_what_would_be_taken_now_and_keeps_its_id() -> None:
    book = rent(Book(make_manifest()))
    shown = offers_of(book.manifest, NOW)
    assert [(each.id, each.gpu_indexes) for each in shown] == [(1001, (1,)), (1002, (2, 3))]
    assert offer_of(book.manifest, 4, NOW).gpu_indexes == ()


def test_nothing_is_offered_when_the_listing_or_the_disk_is_used_up() -> None:
    manifest = make_manifest()
    assert offers_of(manifest, NOW + LISTED_FOR_S) == ()
    assert offers_of(replace(manifest, disk_free_bytes=GIB - 1), NOW) == ()
    assert offers_of(replace(manifest, listing=None), NOW) == ()


def test_a_gpu_with_a_waiter_or_in_quarantine_is_not_offered() -> None:
    waiter = Waiter(ContractId(1), InstanceId(1), (0,), NOW)
    manifest = replace(make_manifest(), waiters=(waiter,), quarantined=(1,))
    assert [each.gpu_indexes for each in offers_of(manifest, NOW)] == [(2,), (2, 3)]


def test_four_one_gpu_contracts_fill_a_four_gpu_host_and_the_fifth_is_refused() -> None:
    book = Book(make_manifest())
    for place in range(4):
        book = rent(book, 100 + place)
        assert book.contract(ContractId(100 + place)).instances[0].gpu_indexes == (place,)
    with pytest.raises(OfferTakenError):
        rent(book, 104)


def test_slices_are_aligned() -> None:
    book = rent(rent(Book(make_manifest())), 101, num_gpus=2)
    assert [gpu.index for gpu in book.contract(ContractId(101)).gpus] == [2, 3]
    with pytest.raises(OfferTakenError):
        rent(book, 102, num_gpus=2)


def test_a_new_contract_is_pending_wanted_running_and_holds_its_gpus_and_disk() -> None:
    book = rent(Book(make_manifest()))
    contract = book.contract(ContractId(100))
    assert (contract.status, contract.instances[0].status) == (ContractStatus.PENDING, InstanceStatus.CREATING)
    assert contract.instances[0].desired is Desired.RUNNING
    assert contract.instances[0].token == book.manifest.leases[0].token == 1
    assert book.manifest.disk_free_bytes == (DISK_GIB - 10) * GIB
    assert [(entry.seq, entry.status, entry.actor) for entry in book.timeline] == [(1, "pending", CLIENT)]
    assert [(bell.instance_id, bell.generation, bell.urgent) for bell in book.bells] == [(100, 1, False)]


def test_the_promise_of_deletion_stands_from_the_first_moment() -> None:
    contract = rent(Book(make_manifest())).contract(ContractId(100))
    assert contract.end_at == NOW + 3600
    assert contract.delete_after == contract.end_at + TERMS.grace_s


def test_no_duration_means_the_longest() -> None:
    assert rent(Book(make_manifest()), duration_s=None).contract(ContractId(100)).end_at == NOW + LISTED_FOR_S
    assert rent(Book(make_manifest()), duration_s=LISTED_FOR_S).contract(ContractId(100)).end_at == NOW + LISTED_FOR_S


def test_one_second_beyond_the_offer_is_refused() -> None:
    with pytest.raises(DurationTooLongError):
        rent(Book(make_manifest()), duration_s=LISTED_FOR_S + 1)
    with pytest.raises(DurationTooLongError):
        rent(Book(make_manifest()), now=NOW + LISTED_FOR_S, duration_s=None)


def test_a_host_off_the_market_is_not_rented() -> None:
    with pytest.raises(ConflictError):
        rent(Book(replace(make_manifest(), listing=None)))


def test_disk_beyond_what_is_free_is_refused() -> None:
    with pytest.raises(OfferTakenError):
        rent(Book(make_manifest()), disk_gib=DISK_GIB + 1)
    with pytest.raises(OfferTakenError):
        rent(Book(make_manifest()), num_gpus=2, instances=2, disk_gib=DISK_GIB // 2 + 1)


def test_a_host_carries_two_hundred_contracts_at_most() -> None:
    claims = {ContractId(each): Claim(NOW, NOW, 0, {}) for each in range(MAX_CONTRACTS_PER_HOST)}
    with pytest.raises(HostFullError):
        rent(Book(replace(make_manifest(), claims=claims)))


def test_a_host_carries_a_thousand_instances_at_most() -> None:
    stopped = ClaimedInstance(1, Desired.STOPPED, InstanceStatus.STOPPED, (0,), None, NOW, None)
    crowd = Claim(NOW, NOW, 0, dict.fromkeys(map(InstanceId, range(MAX_INSTANCES_PER_HOST - 1)), stopped))
    crowded = Book(replace(make_manifest(), claims={ContractId(1): crowd}))
    with pytest.raises(HostFullError):
        rent(crowded, num_gpus=2, instances=2)
    assert rent(crowded, num_gpus=2, instances=1).manifest.count_instances() == MAX_INSTANCES_PER_HOST


def test_instances_split_the_contract_evenly_and_the_first_has_its_id() -> None:
    contract = rent(Book(make_manifest()), num_gpus=4, instances=2).contract(ContractId(100))
    assert [(each.id, each.gpu_indexes) for each in contract.instances] == [(100, (0, 1)), (101, (2, 3))]
    assert [each.share.gpus for each in contract.instances] == ["1/2", "1/2"]
    assert sum(each.share.memory_baseline_bytes for each in contract.instances) == contract.share.memory_baseline_bytes
    assert contract.share.disk_bytes == 20 * GIB


@pytest.mark.parametrize("instances", [3, 5])
def test_instances_that_do_not_divide_the_gpus_are_refused(instances: int) -> None:
    with pytest.raises(InvalidRequestError):
        rent(Book(make_manifest()), num_gpus=4, instances=instances)


@given(st.lists(st.sampled_from([1, 2, 4, 8]), max_size=12), st.sets(st.integers(0, 7)))
def test_slices_never_overlap_and_avoid_what_is_out_of_use(sizes: list[int], quarantined: set[int]) -> None:
    manifest = replace(make_manifest(8), quarantined=tuple(sorted(quarantined)))
    book, held = Book(manifest), set(quarantined)
    for place, size in enumerate(sizes):
        free = lowest_free_slice(book.manifest, size)
        if free is None or book.manifest.disk_free_bytes < 10 * GIB:
            continue
        assert not held.intersection(free)
        held.update(free)
        book = rent(book, 100 + place, num_gpus=size)


@given(gpus=st.integers(1, 16), smallest=st.integers(1, 16))
def test_every_offered_size_can_be_taken_from_an_empty_host(gpus: int, smallest: int) -> None:
    manifest = replace(make_manifest(gpus), listing=make_listing(gpus, min_gpus=smallest))
    for offer in offers_of(manifest, NOW):
        assert offer.gpu_indexes == tuple(range(offer.num_gpus))
        assert offer.num_gpus >= smallest
