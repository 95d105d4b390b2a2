"""What a machine offers: simulated GPUs, memory and disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.inventory import GIB, disk_for_tenants_bytes, memory_for_tenants_bytes
from gpulease_host.inventory_simulated import SimulatedGpus


def test_simulated_gpus_stay_the_same_for_a_seed_and_differ_between_seeds() -> None:
    first, again, other = SimulatedGpus(4, "a"), SimulatedGpus(4, "a"), SimulatedGpus(4, "b")
    uuids = {gpu.uuid for gpu in first.gpus()}
    assert len(uuids) == 4
    assert uuids == {gpu.uuid for gpu in again.gpus()}
    assert not uuids & {gpu.uuid for gpu in other.gpus()}
    assert all(gpu.uuid.startswith("GPU-") and len(gpu.uuid) == 40 for gpu in first.gpus())


@pytest.mark.parametrize(("total_gib", "given_gib"), [(2, 1), (8, 6), (64, 57), (1024, 921)])
def test_the_host_keeps_a_reserve_of_memory(tmp_path: Path, total_gib: int, given_gib: int) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {total_gib * GIB // 1024} kB\nMemFree: 1 kB\n")
    assert memory_for_tenants_bytes(meminfo) // GIB == given_gib


def test_disk_for_tenants_stands_still_while_they_write() -> None:
    before = disk_for_tenants_bytes(100 * GIB, 0)
    assert before == 90 * GIB
    assert disk_for_tenants_bytes(60 * GIB, 40 * GIB) == before
