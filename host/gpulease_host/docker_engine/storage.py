"""Containers' disk: limited by the storage driver where it can, else measured; logs count either way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine import btrfs, btrfs_nested, mounts, projects, snapshots
from gpulease_host.engine import DiskError

LOG_FILES = 2
MAX_LOG_FILE_BYTES = 10 << 20
MIN_LOG_FILE_BYTES = 64 << 10
COUNT_TRIES = 40
COUNT_PAUSE_S = 0.05
FILE_BYTES = 4096
"""A file takes that much where it is not empty, so who has no more files than this allows is not held up by it."""
MOUNTED_FILES = ("hostname", "hosts", "resolv.conf")
"""Of the host, one each for a container, which may write to them."""


def log_file_bytes(disk_bytes: int) -> int:
    """Docker keeps LOG_FILES of this size: a hundredth of the disk each, within reason."""
    return max(MIN_LOG_FILE_BYTES, min(MAX_LOG_FILE_BYTES, disk_bytes // 100))


def writable_bytes(disk_bytes: int) -> int:
    """What is left for files once the logs have their place."""
    return disk_bytes - LOG_FILES * log_file_bytes(disk_bytes)


@dataclass(frozen=True)
class Storage:
    """Docker's storage driver and what it can do; `data_root` is Docker's.

    `snapshots` is containerd's folder, where the driver is one of its snapshotters.
    """

    driver: str
    enforced: bool
    data_root: Path
    snapshots: Path | None = None

    def size_option(self, disk_bytes: int, image_bytes: int) -> dict[str, str] | None:
        if not self.enforced:
            return None
        counts_image = self.driver == "btrfs"
        return {"size": str(writable_bytes(disk_bytes) + (image_bytes if counts_image else 0))}

    def limit(self, container_id: str, disk_bytes: int) -> None:
        """What Docker's own option does not say exactly; before the container's first start."""
        if not self.enforced:
            return
        try:
            if self.driver == "btrfs":
                subvolume = self._subvolume(container_id)
                btrfs.limit_exclusive(subvolume, writable_bytes(disk_bytes))
                _wait_for_count(subvolume)
            if self.driver == "overlay2":
                self._limit_project(container_id, disk_bytes)
        except OSError as error:
            raise DiskError(f"{self.driver} did not take the disk limit of {disk_bytes} bytes: {error}") from error

    def keep_limits(self, disk_bytes: Mapping[str, int]) -> None:
        """Have limits that were forgotten hold again, and a file system that has lost count begin anew.

        `disk_bytes` by container, of those that run.
        """
        if self.driver != "btrfs":
            return
        for container_id, allowed in disk_bytes.items():
            with contextlib.suppress(OSError):  # gone meanwhile
                subvolume = self._subvolume(container_id)
                if btrfs.exclusive_limit_bytes(subvolume) != writable_bytes(allowed):
                    btrfs.limit_exclusive(subvolume, writable_bytes(allowed))
        with contextlib.suppress(OSError):  # not there while Docker starts: the next second asks again
            btrfs.recount(self.data_root)

    def free_bytes(self) -> int:
        """Where Docker and containerd write to two file systems: of the fuller one. Raises DiskError."""
        return min(_free_bytes(folder) for folder in (self.data_root, self.snapshots or self.data_root))

    def exact_used_bytes(self, container_id: str, *, guarded: bool = True) -> int | None:
        """Without a walk, where the file system keeps the number itself.

        Who is not `guarded` by our seccomp profile may have moved files to another project.
        """
        try:
            used = self._counted_bytes(container_id) if guarded or self.driver != "overlay2" else None
        except OSError:
            return None
        return None if used is None else used + self.log_bytes(container_id)

    def layer_directory(self, container_id: str) -> Path | None:
        """Where the container's own files are; None for drivers that keep them otherwise.

        Of containerd's only while the container runs, and a mount of it says so.
        """
        if self.snapshots is not None:
            mount = mounts.mount_at(self.data_root / "rootfs" / self.driver / container_id)
            upper = mount.option("upperdir") if mount else None
            return Path(upper) if upper else None
        if self.driver not in ("overlay2", "fuse-overlayfs"):
            return None
        try:
            return self._layer(container_id) / "diff"
        except OSError:
            return None

    def root_directory(self, container_id: str) -> Path | None:
        """All of its files, as Docker sees them while it starts it or it runs; None for drivers that we do not know."""
        try:
            if self.snapshots is not None:
                return self.data_root / "rootfs" / self.driver / container_id
            if self.driver == "btrfs":
                return self._subvolume(container_id)
            return self._layer(container_id) / "merged" if self.driver in ("overlay2", "fuse-overlayfs") else None
        except OSError:
            return None

    def is_counted(self, container_id: str, volume: Path) -> bool:
        """Whether a volume is in the container's own limit."""
        if not self.enforced or self.driver != "overlay2":
            return False
        try:
            return projects.project_of(volume) == projects.project_of(self._layer(container_id)) != 0
        except OSError:
            return False

    def holds(self, container_id: str) -> bool:
        """Whether the driver limits this container: one made before xfs kept project quotas has no project, ever."""
        if self.driver != "overlay2":
            return self.enforced
        try:
            return self.enforced and projects.project_of(self._layer(container_id)) != 0
        except OSError:
            return False

    def volume_directory(self, name: str) -> Path:
        return self.data_root / "volumes" / name / "_data"

    def log_bytes(self, container_id: str) -> int:
        """With what the container has written to the files that Docker mounts into it."""
        directory = self._own_folder(container_id)
        return _blocks_bytes([*directory.glob("*-json.log*"), *(directory / name for name in MOUNTED_FILES)])

    def unlimited_bytes(self, container_id: str) -> int:
        """What no driver limits: a few kilobytes, unless somebody hides something there."""
        mounted = _blocks_bytes([self._own_folder(container_id) / name for name in MOUNTED_FILES])
        if self.driver != "btrfs":
            return mounted
        try:
            return mounted + btrfs_nested.referred_bytes(self._subvolume(container_id))
        except OSError:  # gone meanwhile
            return mounted

    def clear(self, container_id: str) -> None:
        """Before Docker removes the container: what would be in its way. If it stays there, Docker says so."""
        if self.driver == "btrfs":
            with contextlib.suppress(OSError):
                btrfs_nested.delete_nested(self._subvolume(container_id))

    def _own_folder(self, container_id: str) -> Path:
        return self.data_root / "containers" / container_id

    def _counted_bytes(self, container_id: str) -> int | None:
        """As the file system counts, what lies nested in the container's subvolume included."""
        if self.driver == "btrfs":
            subvolume = self._subvolume(container_id)
            own = btrfs.exclusive_bytes(subvolume) if btrfs.recount(subvolume) else None
            return None if own is None else own + btrfs_nested.referred_bytes(subvolume)
        if self.driver == "overlay2" and self.enforced:
            layer = self._layer(container_id)
            return projects.used_bytes(layer) if projects.project_of(layer) else None
        return None

    def _limit_project(self, container_id: str, disk_bytes: int) -> None:
        layer = self._layer(container_id)
        project = projects.project_of(layer)
        if not project:
            return  # limits of project 0 are everybody's defaults; the container is watched
        try:
            projects.limit_files(layer, writable_bytes(disk_bytes) // FILE_BYTES)
        except OSError as error:
            if error.errno != errno.ENOSYS:  # before Linux 5.14: the number of files is not limited
                raise
        for volume in self._volumes(container_id):
            if projects.project_of(volume) != project:
                projects.adopt(volume, project)

    def _volumes(self, container_id: str) -> Sequence[Path]:
        """As Docker has written them down; asking it would take longer."""
        try:
            written = json.loads((self._own_folder(container_id) / "config.v2.json").read_text())
            points = (written.get("MountPoints") or {}).values()
            return [self.volume_directory(str(each["Name"])) for each in points if each.get("Type") == "volume"]
        except (OSError, ValueError, KeyError):
            return []  # they are watched then

    def _layer(self, container_id: str) -> Path:
        return self.data_root / self.driver / self._mount_id(container_id)

    def _subvolume(self, container_id: str) -> Path:
        return self.data_root / "btrfs" / "subvolumes" / self._mount_id(container_id)

    def _mount_id(self, container_id: str) -> str:
        mounts = self.data_root / "image" / self.driver / "layerdb" / "mounts"
        return (mounts / container_id / "mount-id").read_text().strip()


def storage_of(docker_info: Mapping[str, Any], mountinfo: Path = mounts.MOUNTINFO) -> Storage:
    driver = str(docker_info["Driver"])
    data_root = Path(str(docker_info["DockerRootDir"])).resolve()
    if snapshots.are_used(docker_info):
        return Storage(driver, False, data_root, snapshots.folder_of(driver, data_root))
    backing = dict(docker_info.get("DriverStatus") or []).get("Backing Filesystem")
    enforced = driver in ("btrfs", "zfs")
    if driver == "overlay2" and backing == "xfs":
        mount = mounts.mount_of(data_root, mountinfo)
        enforced = mount is not None and bool({"prjquota", "pquota"} & mount.options)
    return Storage(driver, enforced, data_root)


def _wait_for_count(subvolume: Path) -> None:
    """A limit holds once the kernel counts; a rescan of a small file system takes a moment, of a large one minutes."""
    for _ in range(COUNT_TRIES):
        if btrfs.recount(subvolume):
            return
        time.sleep(COUNT_PAUSE_S)


def _free_bytes(folder: Path) -> int:
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise DiskError(f"How much is free for Docker cannot be told: {error}") from error
    return status.f_bavail * status.f_frsize


def _blocks_bytes(files: Sequence[Path]) -> int:
    with contextlib.suppress(OSError):
        return sum(file.stat().st_blocks * 512 for file in files if file.is_file())
    return 0
