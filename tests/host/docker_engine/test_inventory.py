"""What a machine offers: simulated GPUs, and real ones as NVML reports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.inventory import GIB, disk_for_tenants_bytes, memory_for_tenants_bytes
from gpulease_host.inventory_nvml import GpuDriverError, NvmlGpus
from gpulease_host.inventory_simulated import SimulatedGpus


class NvmlError(Exception):
    pass


class NotSupportedError(NvmlError):
    pass


@dataclass(eq=False)
class Device:
    used: int = 0
    compute: list[int] = field(default_factory=list)
    graphics: list[int] = field(default_factory=list)
    compute_mode: int = 0
    mig: int | None = None
    minor: int | None = 0


@dataclass
class Answer:
    total: int = 0
    used: int = 0
    pid: int = 0


class Nvml:
    """Answers as the pynvml module does, from devices in memory."""

    NVMLError = NvmlError
    NVMLError_NotSupported = NotSupportedError
    nvmlMemory_v2 = 2

    def __init__(self, *devices: Device, broken: bool = False) -> None:
        self._devices = devices
        self._broken = broken

    def nvmlInit(self) -> None:
        if self._broken:
            raise NvmlError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return len(self._devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        return self._devices[index]

    def nvmlDeviceGetUUID(self, device: Device) -> str:
        return f"GPU-{self._devices.index(device)}"

    def nvmlDeviceGetName(self, _device: Device) -> str:
        return "NVIDIA H200"

    def nvmlDeviceGetMinorNumber(self, device: Device) -> int:
        if device.minor is None:
            raise NotSupportedError("Not Supported")
        return device.minor

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.1"

    def nvmlDeviceGetMemoryInfo(self, device: Device, version: int | None = None) -> Answer:
        driver_own = 0 if version == self.nvmlMemory_v2 else 600 << 20
        return Answer(total=141 * GIB, used=device.used + driver_own)

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> list[Answer]:
        return [Answer(pid=pid) for pid in device.compute]

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: Device) -> list[Answer]:
        return [Answer(pid=pid) for pid in device.graphics]

    def nvmlDeviceGetComputeMode(self, device: Device) -> int:
        return device.compute_mode

    def nvmlDeviceGetMigMode(self, device: Device) -> tuple[int, int]:
        if device.mig is None:
            raise NotSupportedError("Not Supported")
        return device.mig, device.mig

    def nvmlDeviceGetEccMode(self, _device: Device) -> tuple[int, int]:
        return 1, 1


def reason_of(device: Device, **changes: Any) -> str | None:
    gpus = NvmlGpus(Nvml(device))
    for name, value in changes.items():
        setattr(device, name, value)
    return gpus.checks()[0].reason


def test_an_idle_gpu_is_clean_whatever_the_driver_keeps_for_itself() -> None:
    assert reason_of(Device()) is None
    assert reason_of(Device(), used=8 << 20) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compute": [42]}, "processes use it: 42"),
        ({"graphics": [43]}, "processes use it: 43"),
        ({"used": 3 * GIB}, "3072 MiB of its memory are in use"),
        ({"compute_mode": 3}, "its compute, MIG or ECC mode was changed"),
        ({"mig": 1}, "its compute, MIG or ECC mode was changed"),
    ],
)
def test_a_gpu_with_something_left_on_it_is_not_clean(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(Device(), **changes) == reason


def test_gpus_are_what_the_driver_says() -> None:
    gpus = NvmlGpus(Nvml(Device(minor=1), Device(minor=0), Device(minor=None)))
    assert [(gpu.index, gpu.uuid, gpu.name, gpu.minor) for gpu in gpus.gpus()] == [
        (0, "GPU-0", "NVIDIA H200", 1),
        (1, "GPU-1", "NVIDIA H200", 0),
        (2, "GPU-2", "NVIDIA H200", None),
    ]
    assert gpus.driver_version() == "570.1"
    assert not gpus.simulated


def test_without_a_driver_it_is_an_error_of_the_engine() -> None:
    with pytest.raises(GpuDriverError, match="Driver Not Loaded"):
        NvmlGpus(Nvml(broken=True))


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
