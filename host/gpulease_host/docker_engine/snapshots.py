"""Where containerd keeps what containers write, for a Docker whose images are containerd's ("containerd image store").

Docker tells neither the folder of a container nor containerd's own, so both are read off the machine.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DRIVER_TYPE = "io.containerd.snapshotter.v1"
CONFIG = Path("/etc/containerd/config.toml")
DEFAULT_ROOT = Path("/var/lib/containerd")
MANAGED = Path("containerd/daemon")
"""In Docker's own folder, where it starts containerd itself."""


def are_used(docker_info: Mapping[str, Any]) -> bool:
    return ["driver-type", DRIVER_TYPE] in [list(pair) for pair in docker_info.get("DriverStatus") or []]


def folder_of(driver: str, data_root: Path, config: Path = CONFIG) -> Path:
    """Of all snapshots. Where it cannot be found, Docker's own folder: most machines have both on one disk."""
    roots = (data_root / MANAGED, _root_in(config))
    return next((each for each in (root / f"{DRIVER_TYPE}.{driver}" for root in roots) if each.is_dir()), data_root)


def _root_in(config: Path) -> Path:
    try:
        return Path(str(tomllib.loads(config.read_text()).get("root") or DEFAULT_ROOT))
    except (OSError, ValueError):  # also of what is no text
        return DEFAULT_ROOT
