"""The one way to "it is stopped", for stops, removals and ends alike.

Docker is asked first. Where it refuses, as a security profile makes it do, or hangs on this container, the container
has its grace all the same and is then ended by its control group; that no process is left there is the proof.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.container_config import INSTANCE_LABEL, container_name
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.known_containers import KnownContainers, kill_processes, processes
from gpulease_host.engine import EngineError, StuckError

KILL_TIMEOUT_S = 10.0
NOTICE_TIMEOUT_S = 5.0
FREE_TIMEOUT_S = 2.0
LOOK_EVERY_S = 0.05
PROC = Path("/proc")


class Stops:
    """`free` lets Docker go on with a container, by its id, where it can."""

    def __init__(
        self,
        api: DockerApi,
        known: KnownContainers,
        cgroups: Cgroups,
        parent_group: str,
        free: Callable[[str], None],
        kill: Callable[[int, int], None] = os.kill,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._known = known
        self._cgroups = cgroups
        self._parent_group = parent_group
        self._free = free
        self._kill = kill
        self._sleep = sleep

    def stop(self, instance_id: int, grace_s: int) -> None:
        """Raises EngineError where neither Docker nor the kernel ends it; what is absent has stopped."""
        name = container_name(instance_id)
        if self._is_stopped_by_docker(instance_id, name, grace_s):
            return
        if not (self._is_freed(instance_id, name) and self._is_stopped_by_docker(instance_id, name, grace_s)):
            self._end(instance_id, grace_s)
            self._let_docker_notice(instance_id)

    def _is_stopped_by_docker(self, instance_id: int, name: str, grace_s: int) -> bool:
        """That Docker knows no such container is no proof: one on other data knows none that runs."""
        try:
            self._api.stop_container(name, grace_s)
        except RefusedError as error:
            return error.status == 404 and not self._pids(self._ids(instance_id))
        except StuckError:
            return False
        return True

    def _is_freed(self, instance_id: int, name: str) -> bool:
        """What Docker hangs in is done before its GPU goes to another: a start that is still under way, too."""
        if name not in self._api.stuck:
            return False
        ids = self._ids(instance_id)

        def is_free() -> bool:
            for container_id in ids:
                self._free(container_id)
            return name not in self._api.stuck

        return self._within(FREE_TIMEOUT_S, is_free)

    def _end(self, instance_id: int, grace_s: int) -> None:
        ids = self._ids(instance_id)
        for pid in filter(_is_first, self._pids(ids)):
            with suppress(ProcessLookupError):
                self._kill(pid, signal.SIGTERM)
        if self._within(grace_s, lambda: not self._pids(ids)):
            return
        if not self._within(KILL_TIMEOUT_S, lambda: not self._kill_all(ids)):
            raise EngineError(f"the processes of instance {instance_id} cannot be ended")

    def _ids(self, instance_id: int) -> set[str]:
        """Of its containers: the one that was begun last, and what Docker shows now."""
        known = self._known.id_of(instance_id)
        listed = self._api.list_containers(f"{INSTANCE_LABEL}={instance_id}")
        return {str(each["Id"]) for each in listed} | ({known} if known is not None else set())

    def _pids(self, ids: Iterable[str]) -> list[int]:
        return [pid for each in ids for pid in processes(self._cgroups, self._parent_group, each)]

    def _kill_all(self, ids: Iterable[str]) -> bool:
        """Whether there was anything left to kill."""
        return any([kill_processes(self._cgroups, self._parent_group, each, self._kill) for each in ids])

    def _let_docker_notice(self, instance_id: int) -> None:
        """Its shim tells it. Where Docker hangs on it, that waits."""
        label, name = f"{INSTANCE_LABEL}={instance_id}", container_name(instance_id)

        def is_noticed() -> bool:
            return name in self._api.stuck or not self._api.list_containers(label, all_states=False)

        self._within(NOTICE_TIMEOUT_S, is_noticed)

    def _within(self, seconds: float, holds: Callable[[], bool]) -> bool:
        for _ in range(max(1, round(seconds / LOOK_EVERY_S))):
            if holds():
                return True
            self._sleep(LOOK_EVERY_S)
        return holds()


def _is_first(pid: int, proc: Path = PROC) -> bool:
    """Whether it is process 1 of its container, which is the one that a stop tells."""
    try:
        status = (proc / str(pid) / "status").read_text()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"
