"""Reads and writes control groups in both layouts, v1 and v2; nothing else in the host knows the difference.

Groups are named by their path from the root, for example `gpulease/3f2a…`. Weights are in the kernel's own units, of
which a whole host is `whole_weight`: 1024 of v1's `cpu.shares`, 1000 of v2's `cpu.weight`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Layout:
    version: int
    cpu_directory: str
    memory_directory: str
    io_directory: str
    pids_directory: str
    io_weights: tuple[str, ...]
    cpu_weight: str
    memory_limit: str
    memory_low: str
    memory_usage: str
    cache_key: str
    shmem_key: str
    whole_weight: int
    default_weight: int
    max_weight: int


_V1 = _Layout(
    version=1,
    cpu_directory="cpu",
    memory_directory="memory",
    io_directory="blkio",
    pids_directory="pids",
    io_weights=("blkio.bfq.weight", "blkio.weight"),
    cpu_weight="cpu.shares",
    memory_limit="memory.limit_in_bytes",
    memory_low="memory.soft_limit_in_bytes",
    memory_usage="memory.usage_in_bytes",
    cache_key="total_cache",
    shmem_key="total_shmem",
    whole_weight=1024,
    default_weight=1024,
    max_weight=262_144,
)
_V2 = _Layout(
    version=2,
    cpu_directory="",
    memory_directory="",
    io_directory="",
    pids_directory="",
    io_weights=("io.bfq.weight", "io.weight"),
    cpu_weight="cpu.weight",
    memory_limit="memory.max",
    memory_low="memory.low",
    memory_usage="memory.current",
    cache_key="file",
    shmem_key="shmem",
    whole_weight=1000,
    default_weight=100,
    max_weight=10_000,
)
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
# What systemd-oomd reads of a group that it must not kill. It kills by pressure, and the one that suffers is often not
# the one that took too much.
_OOMD_OMITS = "user.oomd_omit"


def shares_converted_to(weight: int) -> int:
    """Docker's CPU shares of which runc up to 1.2 makes this weight of v2: 1 + (shares - 2) * 9999 / 262142, rounded
    down."""
    return 2 + -(-(weight - 1) * 262_142 // 9_999)


class Cgroups:
    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._layout = _V2 if (root / "cgroup.controllers").exists() else _V1

    @property
    def version(self) -> int:
        return self._layout.version

    @property
    def default_weight(self) -> int:
        """What the kernel gives a group that nobody weighs."""
        return self._layout.default_weight

    @property
    def max_weight(self) -> int:
        return self._layout.max_weight

    def weight_of(self, permille: int) -> int:
        """A share of the host in the kernel's units; v1 knows none below 2."""
        lowest = 2 if self.version == 1 else 1
        return max(lowest, round(self._layout.whole_weight * permille / 1000))

    def create(self, group: str) -> None:
        """Make the group, with every controller that the kernel has enabled for what is below it."""
        if self.version == 2:
            self._enable_controllers(group)
        for directory in {self._layout.cpu_directory, self._layout.memory_directory}:
            (self._root / directory / group).mkdir(parents=True, exist_ok=True)
        if self.version == 2:
            self._enable_controllers(f"{group}/-")

    def remove(self, group: str) -> None:
        """Remove the group and those below it under every controller, as far as no process is in them any more."""
        roots = [self._root] if self.version == 2 else [path for path in self._root.iterdir() if path.is_dir()]
        for directory in reversed([each for root in roots for each in _walk(root / group)]):
            with suppress(OSError):  # not there, or still busy
                directory.rmdir()

    def exists(self, group: str) -> bool:
        return self._memory(group).is_dir()

    def cpu_weight(self, group: str) -> int:
        return _read_int(self._cpu(group) / self._layout.cpu_weight)

    def set_cpu_weight(self, group: str, weight: int) -> None:
        (self._cpu(group) / self._layout.cpu_weight).write_text(str(weight))

    def root_weights(self, *, except_prefix: str) -> int:
        """The sum of the weights of the groups at the root, without those of that prefix."""
        groups = [path for path in (self._root / self._layout.cpu_directory).iterdir() if path.is_dir()]
        files = [path / self._layout.cpu_weight for path in groups if not path.name.startswith(except_prefix)]
        return sum(_read_int(file) for file in files if file.exists())

    def memory_limit_bytes(self, group: str) -> int | None:
        return _read_bytes(self._memory(group) / self._layout.memory_limit)

    def set_memory_limit(self, group: str, limit_bytes: int) -> None:
        (self._memory(group) / self._layout.memory_limit).write_text(str(limit_bytes))

    def memory_low_bytes(self, group: str) -> int | None:
        """The reservation: what the kernel leaves to the group when memory is scarce."""
        return _read_bytes(self._memory(group) / self._layout.memory_low)

    def set_memory_low(self, group: str, low_bytes: int) -> None:
        (self._memory(group) / self._layout.memory_low).write_text(str(low_bytes))

    def used_memory_bytes(self, group: str) -> int:
        return _read_int(self._memory(group) / self._layout.memory_usage)

    def held_memory_bytes(self, group: str) -> int:
        """Memory in use, less the file cache: the kernel drops that before it kills anyone."""
        stat = dict(line.split() for line in (self._memory(group) / "memory.stat").read_text().splitlines())
        file_cache = int(stat.get(self._layout.cache_key, 0)) - int(stat.get(self._layout.shmem_key, 0))
        return self.used_memory_bytes(group) - file_cache

    def pids(self, group: str) -> list[int]:
        """Every process in the group and in groups that it made below itself."""
        return [pid for directory in _walk(self._memory(group)) for pid in _pids(directory / "cgroup.procs")]

    def root_pids(self) -> list[int]:
        return _pids(self._root / self._layout.cpu_directory / "cgroup.procs")

    def kill(self, group: str) -> bool:
        """All of the group at once, also what is being forked; False where the kernel has no such call."""
        file = self._memory(group) / "cgroup.kill"
        if not file.exists():
            return False
        with suppress(FileNotFoundError, OSError):  # it is gone meanwhile
            file.write_text("1")
        return True

    def pids_limit(self, group: str) -> int | None:
        return _read_bytes(self._root / self._layout.pids_directory / group / "pids.max")

    def io_weights(self, group: str) -> list[int]:
        """One for each way in which the kernel may weigh block I/O, whether it weighs or not."""
        return [_read_default(file) for file in self._io_weight_files(group)]

    def set_io_weight(self, group: str, weight: int) -> None:
        """From 1 to 1000, which all of them take."""
        for file in self._io_weight_files(group):
            file.write_text(str(weight))

    def keep_from_oomd(self, group: str) -> None:
        """systemd-oomd leaves the group alone, where there is one; cgroup v1 has none."""
        if self.version == 2:
            with suppress(OSError):  # a kernel that keeps no attributes of groups; systemd-oomd needs them
                os.setxattr(self._memory(group), _OOMD_OMITS, b"1")

    def _io_weight_files(self, group: str) -> list[Path]:
        directory = self._root / self._layout.io_directory / group
        return [directory / name for name in self._layout.io_weights if (directory / name).exists()]

    def _cpu(self, group: str) -> Path:
        return self._root / self._layout.cpu_directory / group

    def _memory(self, group: str) -> Path:
        return self._root / self._layout.memory_directory / group

    def _enable_controllers(self, group: str) -> None:
        """On v2 a controller reaches a group only when each group above it passes it on."""
        for parent in reversed(Path(group).parents):
            directory = self._root / parent
            available = (directory / "cgroup.controllers").read_text().split()
            wanted = [f"+{name}" for name in _V2_CONTROLLERS if name in available]
            (directory / "cgroup.subtree_control").write_text(" ".join(wanted))


def _read_int(file: Path) -> int:
    return int(file.read_text().split()[-1])


def _read_default(file: Path) -> int:
    """A weight for every disk, which is the first line; some files name disks in more of them."""
    return int(file.read_text().splitlines()[0].split()[-1])


def _read_bytes(file: Path) -> int | None:
    text = file.read_text().strip()
    return None if text == "max" else int(text)


def _pids(file: Path) -> list[int]:
    try:
        return [int(line) for line in file.read_text().split()]
    except (FileNotFoundError, OSError):
        return []


def _walk(directory: Path) -> Iterator[Path]:
    yield directory
    try:
        children = [path for path in directory.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return
    for child in children:
        yield from _walk(child)
