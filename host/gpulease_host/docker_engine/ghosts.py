"""Containers that live without Docker's knowledge: what a Docker leaves that is killed in the middle of a start.

It had the container begun and died before it wrote that down. Started again, it shows one that does not run, and
refuses to start it; meanwhile processes may sit in its control group, and on its GPUs, for good. So whether a container
runs is asked of the kernel too, and what Docker does not know of is ended, together with the shim that holds it:
containerd forgets a container whose shim has died.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import EngineError

SHIM = b"containerd-shim"
ID_OPTION = b"-id"
END_TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.05
PROC = Path("/proc")


class Ghosts:
    def __init__(
        self,
        cgroups: Cgroups,
        tenants: TenantsGroup,
        proc: Path = PROC,
        kill: Callable[[int, int], None] = os.kill,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cgroups = cgroups
        self._tenants = tenants
        self._proc = proc
        self._kill = kill
        self._sleep = sleep
        self._starts: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def none_while_starting(self, container_id: str) -> AbstractContextManager[bool]:
        """Held during a start: until Docker has answered, its container lives and does not run."""
        return self._starts[container_id]

    def is_starting(self, container_id: str) -> bool:
        return self._starts[container_id].locked()

    def lay(self, container_id: str, runs: Callable[[], bool]) -> None:
        """End what lives of a container that Docker has just said does not run. `runs` asks it again."""
        start = self._starts[container_id]
        if not self._is_alive(container_id) or not start.acquire(blocking=False):
            return
        try:
            if not runs():
                self.end(container_id)
        finally:
            start.release()

    def end(self, container_id: str) -> bool:
        """Leave nothing of a container that Docker takes for one that does not run; False when nothing was there."""
        group = self._tenants.of_container(container_id)
        if not self._cgroups.exists(group) and not any(self._shims(container_id)):
            return False
        for _ in range(int(END_TIMEOUT_S / LOOK_EVERY_S)):
            self._kill_all(self._shims(container_id))
            self.kill(container_id)
            self._cgroups.remove(group)
            if not self._cgroups.exists(group) and not any(self._shims(container_id)):
                return True
            self._sleep(LOOK_EVERY_S)
        raise EngineError(f"container {container_id[:12]} runs without Docker's knowledge and cannot be ended")

    def kill(self, container_id: str) -> None:
        """Every process of the container, as the kernel knows them; its shim tells Docker, now or later."""
        group = self._tenants.of_container(container_id)
        if not self._cgroups.kill(group):
            self._kill_all(self._cgroups.pids(group))

    def clear_folder(self, container_id: str, refusal: str) -> bool:
        """Where a folder that a dead shim left is in the way of a start, empty it; False when that was not it.

        Nothing below it is touched: a file system of a container could be mounted there. What Docker itself keeps of
        the container stays: a tenant may choose what a refusal says.
        """
        named = re.search(rf"mkdir (/\S+/{container_id}): file exists", refusal)
        folder = Path(named[1]) if named is not None else None
        if folder is None or (folder / "config.v2.json").exists() or any(self._shims(container_id)):
            return False
        for entry in folder.iterdir():
            with suppress(OSError):
                entry.rmdir() if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        with suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    def _kill_all(self, pids: Iterable[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                self._kill(pid, signal.SIGKILL)

    def _is_alive(self, container_id: str) -> bool:
        """Whether the kernel has processes of it."""
        return bool(self._cgroups.pids(self._tenants.of_container(container_id)))

    def _shims(self, container_id: str) -> Iterator[int]:
        wanted = container_id.encode()
        for entry in self._proc.iterdir():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            except OSError:
                continue
            is_shim = bool(arguments) and os.path.basename(arguments[0]).startswith(SHIM)  # noqa: PTH119 - bytes
            if is_shim and wanted in arguments and arguments[arguments.index(wanted) - 1] == ID_OPTION:
                yield int(entry.name)
