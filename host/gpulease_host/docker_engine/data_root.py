"""This host's mark in Docker's data root, and whether that folder is what Docker runs on.

Docker's own id does not do: before version 23 it lies in /etc/docker, and is the same on any data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.container_config import HOST_LABEL
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.engine import DockerSight, EngineError, EngineUnavailableError
from gpulease_host.files import sync_folder, write_durably

MARKS = "gpulease-hosts"
"""A folder of marks, because several hosts can share one Docker."""
ENGINE_ID = "engine-id"


class DockerDataRoot:
    def __init__(self, api: DockerApi, host_id: int) -> None:
        self._api = api
        self._host_id = host_id

    def see(self) -> DockerSight:
        """Asked anew each time. Raises EngineError."""
        info = self._api.info()
        docker_id, root = info.get("ID"), info.get("DockerRootDir")
        if not docker_id or not root:
            raise EngineUnavailableError("Docker does not say who it is, or where its data is.")
        ours = [str(each["Id"]) for each in self._api.list_containers(HOST_LABEL)]
        try:
            is_covered = _is_covered(Path(str(root)), info, ours)
            return DockerSight(str(docker_id), str(root), _read(self._path(root)), is_covered)
        except OSError as error:
            raise EngineUnavailableError(f"Docker's data root cannot be read: {error}") from error

    def mark(self, mark: str) -> None:
        """Raises EngineError."""
        path = self._path(self._api.info()["DockerRootDir"])
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent.parent)
            write_durably(path, mark.encode() + b"\n", mode=0o600)
        except OSError as error:
            raise EngineError(f"Docker's data root cannot be marked as this host's: {error}") from error

    def unmark(self) -> None:
        """When this host leaves; the folder goes with the last mark. Raises EngineError."""
        path = self._path(self._api.info()["DockerRootDir"])
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


def _is_covered(root: Path, info: dict[str, Any], ours: list[str]) -> bool:
    """Whether a disk was mounted over, or taken from under, what Docker goes on with."""
    lying = {each.name for each in (root / "containers").iterdir()}
    if ours and lying.isdisjoint(ours):
        return True
    engine_id = _read(root / ENGINE_ID)
    if engine_id is not None:
        return engine_id != str(info["ID"])
    return bool(lying) and info.get("Containers") == 0
