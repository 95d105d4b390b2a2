"""The one control group above all tenants of a machine.

It weighs ten times the rest of the host, so that the baselines of tenants are there to be given, and its memory limit
is what the host gives to tenants at all. Several daemons on one machine share it and write the same numbers.

Where Docker leaves control groups to systemd, the group is a slice, and its numbers are systemd's: what is only in the
kernel's files is overwritten as soon as the first container starts below it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.engine import LimitsError

PREFERENCE = 10
# Groups of this service are not the rest of the host: Docker's own (on tenants' behalf), and other groups of tenants.
OURS = "gpulease"
SYSTEMCTL_TIMEOUT_S = 5
"""Others wait behind it, and it is asked again in a second."""


class TenantsGroup:
    def __init__(self, cgroups: Cgroups, name: str, memory_bytes: int, *, systemd: bool) -> None:
        self._cgroups = cgroups
        self._systemd = systemd
        self._memory_bytes = memory_bytes
        self.name = slice_name(name) if systemd else name
        self._weight: int | None = None

    @property
    def docker_parent(self) -> str:
        """As Docker wants it said: a path for cgroupfs, a slice for systemd."""
        return self.name if self._systemd else f"/{self.name}"

    @property
    def systemd_weighs(self) -> bool:
        """Whether systemd keeps weights in the kernel's own units, which Docker's CPU shares are not."""
        return self._systemd and self._cgroups.version == 2

    def of_container(self, container_id: str) -> str:
        return f"{self.name}/docker-{container_id}.scope" if self._systemd else f"{self.name}/{container_id}"

    def ensure(self) -> None:
        """Cheap when all is as it should be; a reboot or a foreign hand is put right."""
        try:
            if self._weight is None or not self._cgroups.exists(self.name):
                self._create()
            if not self._holds():
                self._write()
            holds = self._holds()
        except (OSError, subprocess.SubprocessError) as error:
            raise LimitsError(f"the tenants' control group {self.name} could not be set up: {error}") from error
        if not holds:
            raise LimitsError(f"the tenants' control group {self.name} reads back other limits than were written")

    def _create(self) -> None:
        if self._systemd:
            _systemctl("start", self.name)
        self._cgroups.create(self.name)
        rest = max(self._weight_of_root_processes(), self._cgroups.root_weights(except_prefix=OURS))
        self._weight = min(self._cgroups.max_weight, PREFERENCE * max(self._cgroups.default_weight, rest))

    def _weight_of_root_processes(self) -> int:
        """Processes outside every group each weigh like a default group on every CPU they run on."""
        has_programs = any(_is_program(pid) for pid in self._cgroups.root_pids())
        return self._cgroups.default_weight * (os.cpu_count() or 1) if has_programs else 0

    def _holds(self) -> bool:
        read = [self._cgroups.memory_limit_bytes(self.name)]
        if self._cgroups.version == 2:
            read.append(self._cgroups.memory_low_bytes(self.name))
        same_memory = all(each is not None and same_pages(each, self._memory_bytes) for each in read)
        return same_memory and self._cgroups.cpu_weight(self.name) == self._weight

    def _write(self) -> None:
        assert self._weight is not None
        if self._systemd:
            _systemctl("set-property", "--runtime", self.name, *self._properties(self._weight))
        self._cgroups.set_cpu_weight(self.name, self._weight)
        self._cgroups.set_memory_limit(self.name, self._memory_bytes)
        if self._cgroups.version == 2:  # a reservation counts only up to that of the group above
            self._cgroups.set_memory_low(self.name, self._memory_bytes)

    def _properties(self, weight: int) -> list[str]:
        if self._cgroups.version == 1:
            return [f"CPUShares={weight}", f"MemoryLimit={self._memory_bytes}"]
        memory = [f"MemoryMax={self._memory_bytes}", f"MemoryLow={self._memory_bytes}"]
        return [f"CPUWeight={weight}", f"IOWeight={weight}", *memory, "TasksMax=infinity"]


def possible_groups(parent: str, container_id: str) -> tuple[str, str]:
    """Of a container below the tenants' group, while nobody says whether Docker leaves groups to systemd."""
    return f"{parent}/{container_id}", f"{slice_name(parent)}/docker-{container_id}.scope"


def slice_name(name: str) -> str:
    """A dash would put the slice below another, whose limits would then hold for it."""
    return f"{name.replace('-', '_')}.slice"


def same_pages(read_bytes: int, written_bytes: int) -> bool:
    """The kernel rounds memory limits down to whole pages."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return read_bytes // page_bytes == written_bytes // page_bytes


def _systemctl(*arguments: str) -> None:
    """What it did is read back from the kernel; without an answer from systemd, nothing is waited for."""
    subprocess.run(["systemctl", *arguments], check=False, capture_output=True, timeout=SYSTEMCTL_TIMEOUT_S)


def _is_program(pid: int) -> bool:
    """Kernel threads have no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False
