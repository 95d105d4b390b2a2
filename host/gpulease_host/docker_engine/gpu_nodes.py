"""The device nodes of ordered GPUs, which a container gets as devices of its own beside NVIDIA's hook.

The hook allows them in the kernel behind systemd's back. Where systemd keeps control groups, it writes its own list of
devices again at each `daemon-reload`, such as an unattended upgrade does, and a running container would lose its GPUs.

Docker looks a node up at each start, by the path of the first one. Numbers of GPUs may change at a reboot, so the path
is a link that is named after the GPU: a container never gets the node of another.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.engine import EngineError, Order
from gpulease_host.inventory import Gpu

DEVICES = Path("/dev")
LINKS = Path("/run/gpulease/gpus")
# Of the driver, for whoever has a GPU at all.
CONTROL_NODES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
NODE_MAKER = "nvidia-modprobe"
NODE_MAKER_TIMEOUT_S = 60


@dataclass(frozen=True)
class DeviceNode:
    on_host: str
    in_container: str


class GpuNodes:
    """`gpus` is asked at each start: a driver that was loaded anew may number its nodes otherwise."""

    def __init__(self, gpus: Callable[[], Iterable[Gpu]], devices: Path = DEVICES, links: Path = LINKS) -> None:
        self._gpus = gpus
        self._devices = devices
        self._links = links
        self._were_made = False

    def prepare(self, order: Order) -> list[DeviceNode]:
        """Before each start, because the links are gone after a reboot. A simulated GPU has no node."""
        minors = {gpu.uuid: gpu.minor for gpu in self._gpus() if gpu.minor is not None}
        nodes = {gpu.uuid: f"nvidia{minors[gpu.uuid]}" for gpu in order.gpus if gpu.uuid in minors}
        if not nodes:
            return []
        self._have_made([*CONTROL_NODES, *nodes.values()], minors.values())
        control = [name for name in CONTROL_NODES if self._has(name)]
        own = {uuid: name for uuid, name in nodes.items() if self._has(name)}
        try:
            for name in (*control, *own.values()):
                self._link_by_number(name)
            links = {name: self._link(uuid, name) for uuid, name in own.items()}
        except OSError as error:
            raise EngineError(f"the device nodes of GPUs could not be linked: {error}") from error
        found = {name: str(self._devices / name) for name in control} | links
        return [DeviceNode(on_host, f"/dev/{name}") for name, on_host in found.items()]

    def _link_by_number(self, name: str) -> None:
        """runc up to 1.1 tells systemd only of devices that it finds under their numbers; NVIDIA's driver makes no such
        links."""
        number = (self._devices / name).stat().st_rdev
        link = self._devices / "char" / f"{os.major(number)}:{os.minor(number)}"
        if not link.exists():
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../{name}")

    def _link(self, uuid: str, name: str) -> str:
        node, link = self._devices / name, self._links / uuid
        if not link.is_symlink() or link.readlink() != node:
            self._links.mkdir(parents=True, exist_ok=True)
            fresh = link.with_name(f"{uuid}.{os.getpid()}")
            fresh.symlink_to(node)
            fresh.replace(link)
        return str(link)

    def _have_made(self, names: Sequence[str], minors: Iterable[int]) -> None:
        """After a reboot nodes appear with the first program that uses a GPU; Docker would miss them before that."""
        program = shutil.which(NODE_MAKER)
        if self._were_made or program is None or all(self._has(name) for name in names):
            return
        self._were_made = True
        with suppress(OSError, subprocess.SubprocessError):  # what is missing then is left out
            command = [program, "-u", "-m", *(f"-c={minor}" for minor in minors)]
            subprocess.run(command, check=False, capture_output=True, timeout=NODE_MAKER_TIMEOUT_S)

    def _has(self, name: str) -> bool:
        try:
            return stat.S_ISCHR((self._devices / name).stat().st_mode)
        except OSError:
            return False
