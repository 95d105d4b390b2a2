"""Shares, money and ids: integers that add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rental.domain.ids import MAX_ID, cell_of, compose_id
from rental.domain.money import disk_price_microusd_h, slice_price_microusd_h
from rental.domain.shares import GIB, Capacity, part, share_of

FOUR = Capacity(gpus=4, memory_bytes=256 * GIB, disk_bytes=100 * GIB)


def test_one_of_four_gpus_brings_a_quarter_of_everything() -> None:
    share = share_of(FOUR, [2], 10 * GIB)
    assert (share.gpus, share.cpu_weight_permille, share.io_weight_permille) == ("1/4", 250, 250)
    assert share.memory_baseline_bytes == 64 * GIB
    assert share.shm_bytes == 32 * GIB
    assert share.pids == 8192
    assert share.disk_bytes == 10 * GIB


def test_memory_may_be_borrowed_up_to_all_that_the_host_gives() -> None:
    assert share_of(FOUR, [0], 0).memory_limit_bytes == FOUR.memory_bytes


@pytest.mark.parametrize("indexes", [[], [4], [-1], [0, 9]])
def test_gpus_that_the_host_does_not_have_bring_no_share(indexes: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        share_of(FOUR, indexes, 0)


@given(total=st.integers(0, 1 << 50), gpus=st.integers(1, 64), data=st.data())
def test_the_parts_of_any_split_of_the_gpus_sum_to_the_whole(total: int, gpus: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(gpus)))
    cut = data.draw(st.integers(0, gpus))
    assert part(total, gpus, order[:cut]) + part(total, gpus, order[cut:]) == total


@given(total=st.integers(0, 1 << 50), gpus=st.integers(1, 64), data=st.data())
def test_a_part_is_the_same_in_any_order_and_grows_with_the_gpus(total: int, gpus: int, data: st.DataObject) -> None:
    indexes = data.draw(st.lists(st.integers(0, gpus - 1), unique=True))
    assert part(total, gpus, indexes) == part(total, gpus, sorted(indexes))
    assert part(total, gpus, indexes[:-1]) <= part(total, gpus, indexes)


@given(gpus=st.integers(1, 64), memory=st.integers(0, 1 << 50))
def test_equal_gpus_differ_by_at_most_one_unit(gpus: int, memory: int) -> None:
    parts = [part(memory, gpus, [index]) for index in range(gpus)]
    assert max(parts) - min(parts) <= 1


def test_a_slice_costs_as_many_gpus_as_it_has() -> None:
    assert slice_price_microusd_h(1_250_000, 4) == 5_000_000


def test_disk_costs_a_730th_of_its_month_per_hour_rounded_up() -> None:
    assert disk_price_microusd_h(10, 730_000) == 10_000
    assert disk_price_microusd_h(1, 1) == 1
    assert disk_price_microusd_h(0, 150_000) == 0


@given(seconds=st.integers(0, (1 << 32) - 1), cell=st.integers(0, 63), random=st.integers(0, (1 << 15) - 1))
def test_an_id_fits_53_bits_and_names_its_cell(seconds: int, cell: int, random: int) -> None:
    identifier = compose_id(seconds, cell, random)
    assert 0 <= identifier <= MAX_ID
    assert cell_of(identifier) == cell


def test_a_later_id_is_larger_whatever_its_cell() -> None:
    assert compose_id(10, 63, (1 << 15) - 1) < compose_id(11, 0, 0)


@pytest.mark.parametrize("parts", [(1 << 32, 0, 0), (0, 64, 0), (0, 0, 1 << 15), (-1, 0, 0)])
def test_an_id_is_never_made_of_parts_that_overflow(parts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        compose_id(*parts)
