"""GPUs as NVIDIA's driver reports them, through NVML.

A GPU is clean when no process uses it, its memory is idle, and its modes are those it had when the daemon first saw
it: a tenant must not inherit what the one before left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pynvml

from gpulease_host.engine import EngineError, GpuCheck
from gpulease_host.inventory import Gpu

# An idle GPU shows a few MiB of the driver's own, apart from what the driver reserves.
IDLE_MEMORY_BYTES = 64 << 20


class GpuDriverError(EngineError):
    """NVIDIA's driver does not answer."""

    code = "gpu_driver_error"


@dataclass(frozen=True)
class _Modes:
    compute: int
    mig: int | None
    ecc: int | None


class NvmlGpus:
    """Opened once; `nvml` is the pynvml module, or something that answers as it does."""

    simulated = False

    def __init__(self, nvml: Any = pynvml) -> None:
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            self._gpus = tuple(self._gpu(index, handle) for index, handle in enumerate(self._handles))
            self._modes = [self._read_modes(handle) for handle in self._handles]
        except nvml.NVMLError as error:
            raise GpuDriverError(f"NVIDIA's driver does not answer: {error}") from error

    def gpus(self) -> Sequence[Gpu]:
        return self._gpus

    def driver_version(self) -> str | None:
        return str(self._nvml.nvmlSystemGetDriverVersion())

    def checks(self) -> Sequence[GpuCheck]:
        return [self._check(gpu, handle) for gpu, handle in zip(self._gpus, self._handles, strict=True)]

    def _gpu(self, index: int, handle: Any) -> Gpu:
        memory_bytes = int(self._nvml.nvmlDeviceGetMemoryInfo(handle).total)
        uuid, name = self._nvml.nvmlDeviceGetUUID(handle), self._nvml.nvmlDeviceGetName(handle)
        return Gpu(index, str(uuid), str(name), memory_bytes, self._minor(handle))

    def _minor(self, handle: Any) -> int | None:
        """None where the driver has no such nodes."""
        try:
            return int(self._nvml.nvmlDeviceGetMinorNumber(handle))
        except self._nvml.NVMLError_NotSupported:
            return None

    def _check(self, gpu: Gpu, handle: Any) -> GpuCheck:
        try:
            reason = self._reason(gpu, handle)
        except self._nvml.NVMLError as error:
            reason = f"the driver does not answer for it: {error}"
        return GpuCheck(gpu.index, gpu.uuid, reason is None, reason)

    def _reason(self, gpu: Gpu, handle: Any) -> str | None:
        pids = self._pids(handle)
        if pids:
            return f"processes use it: {', '.join(map(str, pids))}"
        used_bytes = self._used_bytes(handle)
        if used_bytes > IDLE_MEMORY_BYTES:
            return f"{used_bytes >> 20} MiB of its memory are in use"
        if self._read_modes(handle) != self._modes[gpu.index]:
            return "its compute, MIG or ECC mode was changed"
        return None

    def _pids(self, handle: Any) -> list[int]:
        compute = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        graphics = self._nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)
        return sorted({int(process.pid) for process in [*compute, *graphics]})

    def _used_bytes(self, handle: Any) -> int:
        """The second version of the call leaves the driver's own reserve out."""
        return int(self._nvml.nvmlDeviceGetMemoryInfo(handle, version=self._nvml.nvmlMemory_v2).used)

    def _read_modes(self, handle: Any) -> _Modes:
        compute = int(self._nvml.nvmlDeviceGetComputeMode(handle))
        return _Modes(compute, self._optional_mode("Mig", handle), self._optional_mode("Ecc", handle))

    def _optional_mode(self, name: str, handle: Any) -> int | None:
        """None where this kind of GPU has no such mode."""
        try:
            current, _pending = getattr(self._nvml, f"nvmlDeviceGet{name}Mode")(handle)
        except self._nvml.NVMLError_NotSupported:
            return None
        return int(current)
