"""What is rented is what was shown: a host has GPUs of one model, or none of them is rented."""

from dataclasses import replace

import pytest

from rental.domain.allocation import take_slice
from rental.domain.errors import HostNotReadyError
from rental.domain.gpu_models import why_mixed
from rental.domain.host import Gpu
from rental.domain.offer import offer_of, offers_of
from rental.domain.shares import GIB
from tests.fakes.builders import make_manifest
from tests.fakes.ports import NOW

RTX = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 3090", 24 * GIB)


def gpus(*others: Gpu) -> tuple[Gpu, ...]:
    return tuple(replace(gpu, index=index, uuid=f"GPU-{index}") for index, gpu in enumerate((RTX, *others)))


@pytest.mark.parametrize("memory_bytes", [24 * GIB, 24 * GIB - 1, 24 * GIB * 15 // 16])
def test_gpus_of_one_name_and_about_the_same_memory_are_of_one_model(memory_bytes: int) -> None:
    assert why_mixed(gpus(RTX, replace(RTX, memory_bytes=memory_bytes))) is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(RTX, name="NVIDIA GeForce RTX 5060 Ti", memory_bytes=16 * GIB), "NVIDIA GeForce RTX 5060 Ti with 16"),
        (replace(RTX, memory_bytes=12 * GIB), "NVIDIA GeForce RTX 3090 with 12"),
        (replace(RTX, memory_bytes=0), "NVIDIA GeForce RTX 3090 with 0"),
    ],
)
def test_gpus_of_several_models_are_named(other: Gpu, said: str) -> None:
    for found in (gpus(RTX, other), (*gpus(), other, RTX)):
        reason = why_mixed(found)
        assert reason is not None
        assert f"2 x NVIDIA GeForce RTX 3090 with 24 GiB, 1 x {said} GiB" in reason


def test_nothing_of_a_host_with_several_models_is_offered_or_rented() -> None:
    """One may have been registered and listed before this was looked at."""
    manifest = make_manifest()
    other = replace(RTX, name="NVIDIA GeForce RTX 5060 Ti")
    mixed = replace(manifest, inventory=replace(manifest.inventory, gpus=gpus(other, RTX, RTX)))
    assert offers_of(mixed, NOW) == ()
    assert "not ready" in str(offer_of(mixed, 1, NOW).reason)
    with pytest.raises(HostNotReadyError):
        take_slice(mixed, 1, 1, GIB)
