"""Containers' disk: limited by the storage driver where it can, else measured; logs count either way."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine import btrfs
from gpulease_host.engine import DiskError

LOG_FILES = 2
MAX_LOG_FILE_BYTES = 10 << 20
MIN_LOG_FILE_BYTES = 64 << 10
COUNT_TRIES = 40
COUNT_PAUSE_S = 0.05


def log_file_bytes(disk_bytes: int) -> int:
    """Docker keeps LOG_FILES of this size: a hundredth of the disk each, within reason."""
    return max(MIN_LOG_FILE_BYTES, min(MAX_LOG_FILE_BYTES, disk_bytes // 100))


def writable_bytes(disk_bytes: int) -> int:
    """What is left for files once the logs have their place."""
    return disk_bytes - LOG_FILES * log_file_bytes(disk_bytes)


@dataclass(frozen=True)
class Storage:
    """Docker's storage driver and what it can do; `data_root` is Docker's."""

    driver: str
    enforced: bool
    data_root: Path

    def size_option(self, disk_bytes: int, image_bytes: int) -> dict[str, str] | None:
        if not self.enforced:
            return None
        counts_image = self.driver == "btrfs"
        return {"size": str(writable_bytes(disk_bytes) + (image_bytes if counts_image else 0))}

    def limit(self, container_id: str, disk_bytes: int) -> None:
        """What Docker's own option does not say exactly; before the container's first start."""
        if not self.enforced or self.driver != "btrfs":
            return
        try:
            subvolume = self._subvolume(container_id)
            btrfs.limit_exclusive(subvolume, writable_bytes(disk_bytes))
            _wait_for_count(subvolume)
        except OSError as error:
            raise DiskError(f"btrfs did not take the disk limit of {disk_bytes} bytes: {error}") from error

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
        status = os.statvfs(self.data_root)
        return status.f_bavail * status.f_frsize

    def exact_used_bytes(self, container_id: str) -> int | None:
        """Without a walk, where the file system keeps the number itself."""
        if self.driver != "btrfs":
            return None
        try:
            subvolume = self._subvolume(container_id)
            used = btrfs.exclusive_bytes(subvolume) if btrfs.recount(subvolume) else None
        except OSError:
            return None
        return None if used is None else used + self.log_bytes(container_id)

    def layer_directory(self, container_id: str) -> Path | None:
        """Where the container's own files are; None for drivers that keep them otherwise."""
        if self.driver not in ("overlay2", "fuse-overlayfs"):
            return None
        try:
            return self.data_root / self.driver / self._mount_id(container_id) / "diff"
        except OSError:
            return None

    def volume_directory(self, name: str) -> Path:
        return self.data_root / "volumes" / name / "_data"

    def log_bytes(self, container_id: str) -> int:
        directory = self.data_root / "containers" / container_id
        try:
            return sum(entry.stat().st_blocks * 512 for entry in directory.glob("*-json.log*"))
        except OSError:
            return 0

    def _subvolume(self, container_id: str) -> Path:
        return self.data_root / "btrfs" / "subvolumes" / self._mount_id(container_id)

    def _mount_id(self, container_id: str) -> str:
        mounts = self.data_root / "image" / self.driver / "layerdb" / "mounts"
        return (mounts / container_id / "mount-id").read_text().strip()


def storage_of(docker_info: Mapping[str, Any], mountinfo: Path = Path("/proc/self/mountinfo")) -> Storage:
    driver = str(docker_info["Driver"])
    data_root = Path(str(docker_info["DockerRootDir"]))
    backing = dict(docker_info.get("DriverStatus") or []).get("Backing Filesystem")
    enforced = driver in ("btrfs", "zfs")
    if driver == "overlay2" and backing == "xfs":
        enforced = bool({"prjquota", "pquota"} & _mount_options(data_root, mountinfo))
    return Storage(driver, enforced, data_root)


def _wait_for_count(subvolume: Path) -> None:
    """A limit holds once the kernel counts; a rescan of a small file system takes a moment, of a large one minutes."""
    for _ in range(COUNT_TRIES):
        if btrfs.recount(subvolume):
            return
        time.sleep(COUNT_PAUSE_S)


def _mount_options(path: Path, mountinfo: Path) -> set[str]:
    """Super options of the file system that holds `path`."""
    best: tuple[int, set[str]] = (-1, set())
    for line in mountinfo.read_text().splitlines():
        fields = line.split()
        mount_point = Path(fields[4])
        if path.is_relative_to(mount_point) and len(mount_point.parts) > best[0]:
            best = (len(mount_point.parts), set(fields[-1].split(",")))
    return best[1]
