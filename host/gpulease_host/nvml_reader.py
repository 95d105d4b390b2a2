"""What NVIDIA's driver says of its GPUs: a program of its own that the daemon asks, one line for each look.

NVML keeps the library that it has loaded for as long as its process lives, so only another process can talk to a driver
that was replaced; and a driver that hangs or crashes takes nothing but this process along.

Each call stands for itself: what a GPU does not support is null, what fails is one of its `faults`, and neither hides
what others answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pynvml

ADVICE = {
    9: "load NVIDIA's driver: modprobe nvidia",
    12: "install NVIDIA's driver",
    15: "reboot this machine; if that does not help, look at the card and its power",
    16: "reboot this machine",
    18: "the driver was updated while the old one is loaded: reboot this machine",
    999: "look at what the kernel says of it: dmesg | grep -i -e nvrm -e xid",
}
"""What to do, by the code of NVML's error."""


class Asked:
    """Asks NVML, and keeps what failed."""

    def __init__(self, nvml: Any) -> None:
        self.faults: list[str] = []
        self._nvml = nvml

    def ask(self, name: str, *given: Any, if_missing: Callable[[], Any] = lambda: None, **named: Any) -> Any:
        """None where it is not supported, or where it fails; a call that the library lacks is one not supported."""
        try:
            return getattr(self._nvml, name)(*given, **named)
        except self._nvml.NVMLError_NotSupported:
            return None
        except self._nvml.NVMLError_FunctionNotFound:
            return if_missing()
        except (self._nvml.NVMLError, ValueError) as error:  # a name that is no text is the second
            self.faults.append(say_fault(error))
            return None


def say_fault(error: Exception) -> str:
    advice = ADVICE.get(getattr(error, "value", 0))
    return str(error).rstrip(".") + (f"; {advice}" if advice else "")


def look(nvml: Any) -> dict[str, Any]:
    """All GPUs, or as `error` why the driver as a whole does not answer. It has been opened."""
    driver_version = Asked(nvml).ask("nvmlSystemGetDriverVersion")
    counting = Asked(nvml)
    count = counting.ask("nvmlDeviceGetCount")
    if count is None:
        return unanswered((counting.faults or ["it does not tell how many GPUs there are"])[0])
    gpus = [look_at(nvml, index) for index in range(count)]
    return {"error": None, "driver_version": driver_version, "gpus": gpus}


def unanswered(error: str) -> dict[str, Any]:
    return {"error": error, "driver_version": None, "gpus": []}


def look_at(nvml: Any, index: int) -> dict[str, Any]:
    """One GPU; without a handle only its number and what is wrong."""
    asked = Asked(nvml)
    handle = asked.ask("nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        return {"index": index, "uuid": None, "faults": asked.faults}
    memory = asked.ask("nvmlDeviceGetMemoryInfo", handle)
    uuid, name = asked.ask("nvmlDeviceGetUUID", handle), asked.ask("nvmlDeviceGetName", handle)
    return {
        "index": index,
        "uuid": uuid,
        "name": name,
        "memory_bytes": None if memory is None else int(memory.total),
        "minor": asked.ask("nvmlDeviceGetMinorNumber", handle),
        "pids": _pids(asked, handle),
        "used_bytes": _used_bytes(asked, nvml, handle),
        "modes": _modes(asked, handle),
        "faults": list(dict.fromkeys(asked.faults)),
    }


def _pids(asked: Asked, handle: Any) -> list[int] | None:
    """None where neither kind of process can be told."""
    kinds = [asked.ask(f"nvmlDeviceGet{kind}RunningProcesses", handle) for kind in ("Compute", "Graphics")]
    told = [each for each in kinds if each is not None]
    return sorted({int(process.pid) for each in told for process in each}) if told else None


def _used_bytes(asked: Asked, nvml: Any, handle: Any) -> int | None:
    """The second version of the call leaves out what the driver reserves; drivers that lack it leave it out anyway."""
    first = partial(asked.ask, "nvmlDeviceGetMemoryInfo", handle)
    memory = first(version=nvml.nvmlMemory_v2, if_missing=first)
    return None if memory is None else int(memory.used)


def _modes(asked: Asked, handle: Any) -> list[int | None]:
    """Compute, MIG and ECC."""
    compute = asked.ask("nvmlDeviceGetComputeMode", handle)
    pairs = [asked.ask(f"nvmlDeviceGet{name}Mode", handle) for name in ("Mig", "Ecc")]
    return [compute, *(None if pair is None else int(pair[0]) for pair in pairs)]


def answer(nvml: Any, say: Callable[[str], object], lines: Any) -> None:
    """One line for each that comes. A driver that does not open is asked again each time."""
    is_open = False
    for _ in lines:
        try:
            if not is_open:
                nvml.nvmlInit()
                is_open = True
            found = look(nvml)
        except nvml.NVMLError as error:
            found = unanswered(say_fault(error))
        say(json.dumps(found))


if __name__ == "__main__":
    answer(pynvml, lambda line: print(line, flush=True), sys.stdin)
