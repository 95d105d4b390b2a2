"""GPUs as NVIDIA's driver reports them, through NVML, and those that were here when it last did.

A GPU is clean when no process uses it, its memory is idle, and its modes are those it had when the daemon first saw
it: a tenant must not inherit what the one before left behind. Each GPU is judged by itself. One that does not answer,
or a driver that does not, puts GPUs out of use with the reason, and nothing else: they are known from a file, so a
daemon that starts without a driver reports them, and finds them again once it answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpulease_host.engine import GpuCheck
from gpulease_host.inventory import Gpu
from gpulease_host.known_gpus import read_known, write_known
from gpulease_host.nvml_process import GpuDriverError, NvmlProcess

# An idle GPU shows a few MiB of the driver's own, apart from what the driver reserves.
IDLE_MEMORY_BYTES = 64 << 20
NAMELESS = "NVIDIA GPU"
GONE = "It is gone from the machine."
UNTOLD = "the driver tells neither its processes nor its use of memory"


@dataclass(frozen=True)
class Reading:
    """What the driver said last. `error`: why it does not answer at all."""

    error: str | None
    driver_version: str | None = None
    gpus: Sequence[Mapping[str, Any]] = ()

    def of(self, uuid: str) -> Mapping[str, Any] | None:
        return next((each for each in self.gpus if each["uuid"] == uuid), None)

    def why_unseen(self, index: int) -> str:
        """Who does not even say which GPU it is, is most likely the one that had its number."""
        silent = {each["index"]: each["faults"][0] for each in self.gpus if each["uuid"] is None and each["faults"]}
        if not silent:
            return GONE
        return f"the driver does not answer for it: {silent.get(index) or next(iter(silent.values()))}"


class NvmlGpus:
    """`ask` answers as `nvml_reader` does, or raises GpuDriverError. Without a `known_path` nothing is remembered."""

    simulated = False

    def __init__(self, ask: Callable[[], Mapping[str, Any]] | None = None, known_path: Path | None = None) -> None:
        self._ask = ask or NvmlProcess().ask
        self._known_path = known_path
        self._lock = threading.Lock()
        self._known: dict[str, Gpu] = {} if known_path is None else read_known(known_path)
        self._modes: dict[str, Sequence[int | None]] = {}
        self._last: Reading | None = None

    def gpus(self) -> Sequence[Gpu]:
        """In the order in which they were first seen, which is that of the registration."""
        self._last_reading()
        with self._lock:
            return tuple(self._known.values())

    def driver_version(self) -> str | None:
        return self._last_reading().driver_version

    def fault(self) -> str | None:
        """Asked again while there is one."""
        return None if self._last_reading().error is None else self._look().error

    def checks(self) -> Sequence[GpuCheck]:
        reading = self._look()
        with self._lock:
            return [self._check(gpu, reading) for gpu in self._known.values()]

    def left_out(self) -> list[str]:
        """GPUs that cannot be registered, each in a sentence."""
        return [
            f"GPU {each['index']} is left out, because the driver does not answer for it: {each['faults'][0]}"
            for each in self._last_reading().gpus
            if each["faults"] and each["uuid"] not in self._known
        ]

    def check_answered(self) -> None:
        """At registration a machine must have a GPU that works. Raises GpuDriverError."""
        reading = self._last_reading()
        if reading.error is not None:
            raise GpuDriverError(reading.error)
        if not self._known:
            raise GpuDriverError(" ".join(self.left_out()) or "NVIDIA's driver knows no GPU.")

    def _last_reading(self) -> Reading:
        return self._last or self._look()

    def _look(self) -> Reading:
        try:
            found = self._ask()
        except GpuDriverError as error:
            reading = Reading(str(error))
        else:
            error_said = None if found["error"] is None else f"NVIDIA's driver does not answer: {found['error']}"
            reading = Reading(error_said, found["driver_version"], found["gpus"])
        with self._lock:
            self._last = reading
            self._learn(reading.gpus)
        return reading

    def _learn(self, seen: Sequence[Mapping[str, Any]]) -> None:
        before = dict(self._known)
        for found in seen:
            if found["uuid"] is not None and not found["faults"]:
                self._known[found["uuid"]] = _gpu(found, self._known.get(found["uuid"]), len(self._known))
                self._modes.setdefault(found["uuid"], found["modes"])
        if self._known_path is not None and self._known != before:
            write_known(self._known_path, self._known.values())

    def _check(self, gpu: Gpu, reading: Reading) -> GpuCheck:
        found = reading.of(gpu.uuid)
        if reading.error is not None:
            reason: str | None = reading.error
        else:
            reason = reading.why_unseen(gpu.index) if found is None else self._why_not_clean(gpu.uuid, found)
        return GpuCheck(gpu.index, gpu.uuid, reason is None, reason)

    def _why_not_clean(self, uuid: str, found: Mapping[str, Any]) -> str | None:
        if found["faults"]:
            return f"the driver does not answer for it: {found['faults'][0]}"
        pids, used_bytes = found["pids"], found["used_bytes"]
        if pids is None and used_bytes is None:
            return UNTOLD
        if pids:
            return f"processes use it: {', '.join(map(str, pids))}"
        if used_bytes is not None and used_bytes > IDLE_MEMORY_BYTES:
            return f"{used_bytes >> 20} MiB of its memory are in use"
        if found["modes"] != self._modes[uuid]:
            return "its compute, MIG or ECC mode was changed"
        return None


def _gpu(found: Mapping[str, Any], known: Gpu | None, place: int) -> Gpu:
    """A GPU keeps its place, whatever number the driver gives it today. Of unknown memory: 0."""
    name, memory_bytes = str(found["name"] or NAMELESS), found["memory_bytes"] or 0
    if known is None:
        return Gpu(place, found["uuid"], name, memory_bytes, found["minor"])
    return replace(known, name=name, memory_bytes=memory_bytes, minor=found["minor"])
