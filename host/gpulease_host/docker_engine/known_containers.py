"""Which container each instance has, remembered beside Docker: what is to be ended may be known to nobody else.

A Docker that does not answer, or that came up on other data, names no container; the kernel has its processes all the
same, in a control group that has the container's id in its name.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.tenants_group import possible_groups
from gpulease_host.files import write_durably


class KnownContainers:
    """`path` keeps them for the next process of the daemon; None keeps them for this one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ids = {} if path is None else _read(path)

    def id_of(self, instance_id: int) -> str | None:
        with self._lock:
            return self._ids.get(instance_id)

    def note(self, instance_id: int, container_id: str) -> None:
        """Before it is started."""
        with self._lock:
            self._keep(self._ids | {instance_id: container_id})

    def note_seen(self, seen: Mapping[int, str]) -> None:
        """What Docker shows adds to what is known and changes nothing: it may be another Docker."""
        with self._lock:
            self._keep({**seen, **self._ids})

    def forget(self, instance_id: int) -> None:
        with self._lock:
            self._keep({each: known for each, known in self._ids.items() if each != instance_id})

    def _keep(self, ids: dict[int, str]) -> None:
        if ids == self._ids:
            return
        self._ids = ids
        if self._path is not None:
            with suppress(OSError):  # as on a full disk: this process knows it, and writes it with the next one
                write_durably(self._path, json.dumps(ids).encode(), mode=0o600)


def kill_processes(
    cgroups: Cgroups, parent: str, container_id: str, kill: Callable[[int, int], None] = os.kill
) -> bool:
    """Every process of the container, without a word from Docker; whether there was any."""
    found = False
    for group in possible_groups(parent, container_id):
        pids = cgroups.pids(group)
        found = found or bool(pids)
        if not cgroups.kill(group):
            for pid in pids:
                with suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
    return found


def processes(cgroups: Cgroups, parent: str, container_id: str) -> list[int]:
    return [pid for group in possible_groups(parent, container_id) for pid in cgroups.pids(group)]


def _read(path: Path) -> dict[int, str]:
    """One that is damaged counts as none: what Docker shows makes it anew."""
    try:
        return {int(instance_id): str(known) for instance_id, known in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
