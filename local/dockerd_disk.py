"""Docker's data root on a btrfs file, so that a container's disk size is enforced without touching the machine's disks.

The file is sparse and bounded: it grows as images and containers are written, and never beyond its size.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

UNMOUNT_TRIES = 20
MIN_BYTES = 2 << 30
MAX_BYTES = 64 << 30


def mount(image: Path, mount_point: Path) -> None:
    """Mount the file, made on first use. A mount left by a killed run is used again."""
    mount_point.mkdir(parents=True, exist_ok=True)
    if mount_point.is_mount():
        return
    if not image.exists():
        _make(image)
    subprocess.run(["mount", "-t", "btrfs", "-o", "loop,noatime", str(image), str(mount_point)], check=True)


def unmount(mount_point: Path) -> None:
    """Detach every layer that was mounted there, below it first; the loop device frees itself."""
    for _ in range(UNMOUNT_TRIES):  # a daemon that was told to end may hold it for a moment
        for target in sorted(_mounts_under(mount_point), reverse=True):
            subprocess.run(["umount", target], check=False, capture_output=True)
        if not mount_point.is_mount():
            return
        time.sleep(0.2)
    subprocess.run(["umount", "--lazy", str(mount_point)], check=True)


def _make(image: Path) -> None:
    """Built under another name and renamed, so that a killed run leaves nothing half made."""
    image.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(image.parent).free
    size_bytes = max(MIN_BYTES, min(MAX_BYTES, free * 6 // 10))
    draft = image.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with draft.open("wb") as file:
        os.truncate(file.fileno(), size_bytes)
    subprocess.run(["mkfs.btrfs", "--quiet", str(draft)], check=True)
    draft.rename(image)


def _mounts_under(mount_point: Path) -> list[str]:
    root = str(mount_point.resolve())
    targets = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [target for target in targets if target == root or target.startswith(f"{root}/")]
