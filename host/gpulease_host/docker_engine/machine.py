"""What Docker says of the machine it runs on, read once a minute at most, and what follows from it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.cgroups import ROOT
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.docker_versions import passes_annotations
from gpulease_host.docker_engine.dockerd_settings import running_dockerds
from gpulease_host.docker_engine.storage import Storage, storage_of
from gpulease_host.engine import EngineError
from gpulease_host.inventory import DockerFacts

# A Docker Engine with a double of NVIDIA's hook says in this label where simulated GPUs are declared to it.
SIMULATED_GPUS_LABEL = "gpulease.simulated-gpus"
REFRESH_S = 60.0
KEPT_S = 300.0
TIMEOUT_S = 10


class Machine:
    def __init__(self, api: DockerApi, now: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._now = now
        self._info: dict[str, Any] = {}
        self._read_at = self._look_at = float("-inf")
        self._storage: tuple[dict[str, Any], Storage] | None = None
        self._log_file_bytes: tuple[dict[str, Any], int | None] | None = None

    @property
    def storage(self) -> Storage:
        """Asked for every container each second, and read off the machine as seldom as what Docker says."""
        info = self._fresh_info()
        known = self._storage
        if known is None or known[0] is not info:
            known = self._storage = (info, storage_of(info))
        return known[1]

    @property
    def log_file_bytes(self) -> int | None:
        """What the owner lets a container's log have, where that was said."""
        info = self._fresh_info()
        known = self._log_file_bytes
        if known is None or known[0] is not info:
            told = filter(None, (each.log_file_bytes for each in running_dockerds()))
            known = self._log_file_bytes = (info, min(told, default=None))
        return known[1]

    @property
    def takes_seccomp(self) -> bool:
        return any("name=seccomp" in option for option in self._fresh_info().get("SecurityOptions") or [])

    @property
    def passes_annotations(self) -> bool:
        return passes_annotations(str(self._fresh_info().get("ServerVersion")))

    @property
    def disk_enforced(self) -> bool:
        """A limit that nobody in the container can step around: without seccomp, root in it moves files elsewhere."""
        return self.storage.enforced and self.takes_seccomp

    @property
    def systemd_groups(self) -> bool:
        return bool(self._fresh_info()["CgroupDriver"] == "systemd")

    def info(self) -> dict[str, Any]:
        """All that Docker says of itself."""
        return self._fresh_info()

    def facts(self, cgroup_version: int) -> DockerFacts:
        return DockerFacts(
            docker_version=str(self._fresh_info()["ServerVersion"]),
            cgroup_version=cgroup_version,
            disk_enforced=self.disk_enforced,
            unenforced=tuple(self.unenforced()),
        )

    def unenforced(self) -> list[str]:
        """What a share promises and this machine cannot hold anyone to."""
        return ["network"] if weighs_io(self.storage.data_root) else ["io", "network"]

    def hook_directory(self) -> Path | None:
        """Where the double of NVIDIA's hook looks for declared GPUs, if Docker has that double."""
        labels = dict(label.partition("=")[::2] for label in self._fresh_info().get("Labels") or [])
        return Path(labels[SIMULATED_GPUS_LABEL]) if SIMULATED_GPUS_LABEL in labels else None

    def declare_simulated(self, uuids: Iterable[str]) -> None:
        directory = self.hook_directory()
        if directory is None:
            return
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for uuid in uuids:
                (directory / uuid).touch()
        except OSError as error:
            raise EngineError(f"simulated GPUs could not be declared in {directory}: {error}") from error

    def _fresh_info(self) -> dict[str, Any]:
        """What was read holds for a while longer where Docker does not say it again: much of the rest still works."""
        if self._now() >= self._look_at:
            try:
                self._info = self._api.info(TIMEOUT_S)
                self._read_at = self._now()
            except EngineError:
                if self._now() - self._read_at >= KEPT_S:
                    raise
            self._look_at = self._now() + REFRESH_S
        return self._info


def weighs_io(path: Path, devices: Path = Path("/sys/dev/block"), groups: Path = ROOT) -> bool:
    """Whether block I/O to what is below `path` is weighed: by BFQ, or on cgroup v2 by its cost where that is enabled.

    A weight can be written without either, and has no effect. btrfs and others without a device of their own: no.
    Of what goes away meanwhile: no.
    """
    try:
        device = path.stat().st_dev
        disks = _disks_of(devices / f"{os.major(device)}:{os.minor(device)}")
        return all(_has_bfq(disk) or _is_costed(disk, groups / "io.cost.qos") for disk in disks)
    except OSError:
        return False


def _disks_of(entry: Path) -> list[Path]:
    """What has a queue: the disk of a partition, and the disks that LVM, RAID or encryption lie on."""
    below = list((entry / "slaves").iterdir()) if (entry / "slaves").is_dir() else []
    if below:
        return [disk for each in below for disk in _disks_of(each)]
    return [entry.resolve().parent if (entry / "partition").exists() else entry]


def _has_bfq(disk: Path) -> bool:
    file = disk / "queue" / "scheduler"
    return file.is_file() and "[bfq]" in file.read_text()


def _is_costed(disk: Path, qos: Path) -> bool:
    """The file has a line for each disk that was ever asked about: `8:0 enable=1 …`."""
    if not (disk / "dev").is_file() or not qos.is_file():
        return False
    number = (disk / "dev").read_text().strip()
    return any(line.split()[:2] == [number, "enable=1"] for line in qos.read_text().splitlines())
