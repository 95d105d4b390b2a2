"""What a container has written, asked every second and counted seldom: its layer, its logs, its volumes.

Counting files goes in steps of a few milliseconds: a client may have millions of them, and nobody else's end may wait
for that. A count under way is a lower bound, which is enough to see that it is too much.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from gpulease_host.docker_engine.storage import FILE_BYTES, Storage

STEP_S = 0.05
# A count rests this many times as long as it took, so that it costs 5% of one CPU at most.
REST_FACTOR = 20
MIN_REST_S = 5.0
MOST_LEVELS = 250
"""Folders within folders that are counted; each is open meanwhile."""
UNCOUNTABLE_BYTES = 1 << 53
"""Of what is nested deeper than that, or than a path can say, which no honest program does: more than anybody holds."""


class DiskMeter:
    """Safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}
        self._docker_sizes: dict[str, tuple[float, int | None]] = {}
        self._layers: dict[str, Path] = {}

    def used_bytes(
        self,
        storage: Storage,
        container_id: str,
        volumes: Sequence[str],
        docker_size: Callable[[], int | None],
        *,
        guarded: bool = True,
    ) -> int | None:
        """`volumes` are directories. None while nobody can tell."""
        exact = storage.exact_used_bytes(container_id, guarded=guarded)
        if exact is not None:
            return exact + self._counted(container_id, volumes)
        layer = storage.layer_directory(container_id) or self._layers.get(container_id)
        if layer is not None:
            self._layers[container_id] = layer  # containerd's cannot be found once the container has stopped
            return storage.log_bytes(container_id) + self._counted(container_id, [str(layer), *volumes])
        size = self._size_by_docker(container_id, docker_size)
        return None if size is None else size + self._counted(container_id, volumes)

    def is_sure(self, container_id: str) -> bool:
        """Whether a fresh count says so. Else it is counted anew, and one of the next looks tells: since an older
        count a client may have deleted what was too much."""
        with self._lock:
            count = self._counts.get(container_id)
            if count is None or count.before_bytes == 0:
                return True
            self._counts[container_id] = _Count(count.directories, 0)
            return False

    def forget(self, container_id: str) -> None:
        with self._lock:
            self._counts.pop(container_id, None)
            self._docker_sizes.pop(container_id, None)
            self._layers.pop(container_id, None)

    def _counted(self, container_id: str, directories: Sequence[str]) -> int:
        if not directories:
            return 0
        with self._lock:
            count = self._counts.get(container_id)
            if count is None or count.is_due(self._now()):
                count = _Count(directories, 0 if count is None else count.used_bytes)
                self._counts[container_id] = count
            count.go_on(self._now)
            return count.used_bytes

    def _size_by_docker(self, container_id: str, docker_size: Callable[[], int | None]) -> int | None:
        due_at, used = self._docker_sizes.get(container_id, (0.0, None))
        started = self._now()
        if started < due_at:
            return used
        used = docker_size()
        self._docker_sizes[container_id] = (self._now() + _rest_s(self._now() - started), used)
        return used


class _Count:
    """One count of some directories, in steps."""

    def __init__(self, directories: Sequence[str], before_bytes: int) -> None:
        self.directories = directories
        self.before_bytes = before_bytes
        self._sizes = _sizes(directories)
        self._bytes = 0
        self._spent_s = 0.0
        self._due_at: float | None = None

    def is_due(self, now: float) -> bool:
        return self._due_at is not None and now >= self._due_at

    @property
    def used_bytes(self) -> int:
        """While it goes on, the count before is better than half of this one."""
        return self._bytes if self._due_at is not None else max(self._bytes, self.before_bytes)

    def go_on(self, now: Callable[[], float]) -> None:
        if self._due_at is not None:
            return
        started = now()
        for size in self._sizes:
            self._bytes += size
            if now() - started >= STEP_S:
                self._spent_s += now() - started
                return
        self._spent_s += now() - started
        self._due_at = now() + _rest_s(self._spent_s)


def _rest_s(spent_s: float) -> float:
    return max(MIN_REST_S, REST_FACTOR * spent_s)


def _sizes(directories: Sequence[str]) -> Iterator[int]:
    """Blocks, so that sparse files count what they take, and one for an empty file, which takes an inode.

    What has several names counts once, in parts. What vanishes meanwhile counts nothing. Depth first, with one folder
    open for each level: neither how deep nor how wide a client nests decides about memory, and none is read twice.
    """
    for directory in directories:
        yield from _sizes_below(directory)


def _sizes_below(directory: str) -> Iterator[int]:
    with ExitStack() as stack:
        levels: list[Iterator[os.DirEntry[str]]] = []

        def enter(path: str) -> int:
            if len(levels) == MOST_LEVELS:
                return UNCOUNTABLE_BYTES
            try:
                levels.append(os.scandir(path))
            except OSError as error:
                return _of_error(error)
            return 0

        stack.callback(lambda: [each.close() for each in levels])  # type: ignore[attr-defined]
        yield enter(directory)
        while levels:
            entry = _next(levels[-1])
            if entry is None:
                levels.pop().close()  # type: ignore[attr-defined]
                continue
            yield _size(entry)
            if _is_folder(entry):
                yield enter(entry.path)


def _next(entries: Iterator[os.DirEntry[str]]) -> os.DirEntry[str] | None:
    try:
        return next(entries, None)
    except OSError:
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
        size = max(status.st_blocks * 512, FILE_BYTES)
        return size if stat.S_ISDIR(status.st_mode) else size // max(1, status.st_nlink)
    except OSError as error:
        return _of_error(error)


def _of_error(error: OSError) -> int:
    return UNCOUNTABLE_BYTES if error.errno == errno.ENAMETOOLONG else 0
