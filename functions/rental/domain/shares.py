"""The share of a host that a contract holds: everything in proportion to its GPUs.

A host with N GPUs splits each resource into N parts that sum to the whole: equal parts, and what is left over by
the division goes one unit each to the lowest GPU indexes (largest remainder; equal weights tie, so the index decides).
The share of a set of GPUs is the sum of their parts. So shares sum to the total, do not depend on the order of
renting, and grow with the GPUs.

CPU is a weight, not a cap. RAM is a baseline; the limit is all the RAM that the host gives to tenants, so a
container may borrow what is free. /dev/shm is the same part of half the RAM, the kernel's default for tmpfs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

WEIGHT_PERMILLE = 1000
PROCESSES = 32_768
GIB = 1 << 30


@dataclass(frozen=True)
class Capacity:
    """What a host gives to its tenants; bytes."""

    gpus: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Share:
    """A part of a host; weights in permille of the host, sizes in bytes."""

    gpus: str
    cpu_weight_permille: int
    memory_baseline_bytes: int
    memory_limit_bytes: int
    shm_bytes: int
    pids: int
    io_weight_permille: int
    disk_bytes: int


def part(total: int, gpus: int, indexes: Iterable[int]) -> int:
    """The part of `total` that belongs to the GPUs at `indexes` of `gpus`."""
    each, left_over = divmod(total, gpus)
    return sum(each + (1 if index < left_over else 0) for index in indexes)


def share_of(capacity: Capacity, indexes: Iterable[int], disk_bytes: int) -> Share:
    """The share that the GPUs at `indexes` bring; the disk is what the contract asked for."""
    held = sorted(set(indexes))
    if not held or held[0] < 0 or held[-1] >= capacity.gpus:
        raise ValueError(f"GPU indexes {held} do not fit a host of {capacity.gpus}")
    weight = part(WEIGHT_PERMILLE, capacity.gpus, held)
    fraction = Fraction(len(held), capacity.gpus)
    return Share(
        gpus=f"{fraction.numerator}/{fraction.denominator}",
        cpu_weight_permille=weight,
        memory_baseline_bytes=part(capacity.memory_bytes, capacity.gpus, held),
        memory_limit_bytes=capacity.memory_bytes,
        shm_bytes=part(capacity.memory_bytes // 2, capacity.gpus, held),
        pids=part(PROCESSES, capacity.gpus, held),
        io_weight_permille=weight,
        disk_bytes=disk_bytes,
    )
