"""This host's mark in Docker's data root, and whether that folder is what Docker runs on.

Docker's own id does not do: before version 23 it lies in /etc/docker, and is the same on any data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.container_config import HOST_LABEL
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.engine import DockerSight, EngineError, EngineUnavailableError
from gpulease_host.files import sync_folder, write_durably

MARKS = "gpulease-hosts"
"""A folder of marks, because several hosts can share one Docker."""
ENGINE_ID = "engine-id"
TIMEOUT_S = 5
"""Much waits for this look."""
SECOND_LOOK_S = 1.0
"""Beyond the moments in which a container that is made or removed is in only one of list and folder."""


class DockerDataRoot:
    def __init__(self, api: DockerApi, host_id: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._host_id = host_id
        self._sleep = sleep
        self._was_covered = False

    def see(self) -> DockerSight:
        """Asked anew each time; covered only when it is so twice in a row. Raises EngineError."""
        sight = self._look()
        if sight.is_covered and not self._was_covered:
            self._sleep(SECOND_LOOK_S)
            sight = self._look()
        self._was_covered = sight.is_covered
        return sight

    def mark(self, mark: str) -> None:
        """Raises EngineError."""
        path = self._path(self._api.info(TIMEOUT_S)["DockerRootDir"])
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent.parent)
            write_durably(path, mark.encode() + b"\n", mode=0o600)
        except OSError as error:
            raise EngineError(f"Docker's data root cannot be marked as this host's: {error}") from error

    def _look(self) -> DockerSight:
        info = self._api.info(TIMEOUT_S)
        docker_id, root = info.get("ID"), info.get("DockerRootDir")
        if not docker_id or not root:
            raise EngineUnavailableError("Docker does not say who it is, or where its data is.")
        ours = [str(each["Id"]) for each in self._api.list_containers(HOST_LABEL, timeout_s=TIMEOUT_S)]
        try:
            lying = _lying(Path(str(root)))
            engine_id = _read(Path(str(root)) / ENGINE_ID)
            mark = _read(self._path(root))
        except OSError as error:
            raise EngineUnavailableError(f"Docker's data root cannot be read: {error}") from error
        leftovers = tuple(sorted(lying)) if engine_id is None and info.get("Containers") == 0 else ()
        is_other = (bool(ours) and lying.isdisjoint(ours)) or engine_id not in (None, str(docker_id))
        return DockerSight(str(docker_id), str(root), mark, is_other or bool(leftovers), () if is_other else leftovers)

    def unmark(self) -> None:
        """When this host leaves; the folder goes with the last mark. Raises EngineError."""
        path = self._path(self._api.info(TIMEOUT_S)["DockerRootDir"])
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            raise EngineError(f"This host's mark in Docker's data root cannot be removed: {error}") from error

    def _path(self, root: Any) -> Path:
        return Path(str(root)) / MARKS / str(self._host_id)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def _lying(root: Path) -> set[str]:
    """Containers that a Docker on this data would load: one that is half removed has no configuration any more."""
    return {each.name for each in (root / "containers").iterdir() if (each / "config.v2.json").exists()}
