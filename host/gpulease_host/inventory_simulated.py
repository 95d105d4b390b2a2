"""GPUs that exist by declaration only, for machines without any; every answer says that they are simulated."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from gpulease_host.engine import GpuCheck
from gpulease_host.inventory import GIB, Gpu

NAMESPACE = uuid.UUID("5c9d6a44-6f0e-5d0e-9b53-6a2f7d1f8e21")


class SimulatedGpus:
    """`count` GPUs whose UUIDs follow from `seed`, something that stays with the host, such as its machine key's id."""

    simulated = True

    def __init__(self, count: int, seed: str) -> None:
        self._gpus = tuple(_gpu(seed, index) for index in range(count))

    def gpus(self) -> Sequence[Gpu]:
        return self._gpus

    def driver_version(self) -> str | None:
        return None

    def fault(self) -> str | None:
        return None

    def checks(self) -> Sequence[GpuCheck]:
        return [GpuCheck(gpu.index, gpu.uuid, True, None) for gpu in self._gpus]


def _gpu(seed: str, index: int) -> Gpu:
    name = uuid.uuid5(NAMESPACE, f"{seed}/{index}")
    return Gpu(index, f"GPU-{name}", "Simulated GPU", 24 * GIB)
