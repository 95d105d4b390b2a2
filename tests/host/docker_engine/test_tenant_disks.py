"""Who is watched: also a container whose driver enforces limits, but not on it; and how often the machine is read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gpulease_host.docker_engine import machine as machine_module
from gpulease_host.docker_engine import projects
from gpulease_host.docker_engine.container_config import SECCOMP_LABEL
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.machine import REFRESH_S, Machine
from gpulease_host.docker_engine.storage import Storage
from gpulease_host.docker_engine.tenant_disks import TenantDisks
from gpulease_host.engine import DiskError, EngineError, Overrun
from tests.host.orders import order

MIB = 1 << 20
ID = "abc"
LISTED = {"Id": ID, "Labels": {SECCOMP_LABEL: "1"}, "Mounts": []}
LIMITS = replace(order().limits, disk_bytes=2 * MIB)


class FakeApi:
    def __init__(self, root: Path) -> None:
        self.root = root

    def info(self, timeout_s: float | None = None) -> dict[str, Any]:
        return {
            "Driver": "overlay2",
            "DockerRootDir": str(self.root),
            "DriverStatus": [["Backing Filesystem", "xfs"]],
            "SecurityOptions": ["name=seccomp,profile=builtin"],
        }


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Of the one container, as overlay2 lays it out."""
    mounts = tmp_path / "image" / "overlay2" / "layerdb" / "mounts" / ID
    mounts.mkdir(parents=True)
    (mounts / "mount-id").write_text("layer")
    (tmp_path / "overlay2" / "layer" / "diff").mkdir(parents=True)
    return tmp_path / "overlay2" / "layer"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """Each reading of the machine, where project quotas are on."""
    found: list[Mapping[str, Any]] = []

    def read(info: Mapping[str, Any]) -> Storage:
        found.append(info)
        return Storage("overlay2", True, Path(str(info["DockerRootDir"])))

    monkeypatch.setattr(machine_module, "storage_of", read)
    return found


def machine_of(root: Path, now: Callable[[], float] = lambda: 0.0) -> Machine:
    return Machine(cast(DockerApi, FakeApi(root)), now)


class OneBroken(TenantDisks):
    """What is measured of the container `broken` is an error; all others use 3 MiB."""

    def _used_bytes(self, listed: Mapping[str, Any]) -> int | None:
        if listed["Id"] == "broken":
            raise DiskError("its layer cannot be read")
        return 3 * MIB

    def _is_held(self, listed: Mapping[str, Any]) -> bool:
        return False


@pytest.mark.usefixtures("reads")
def test_a_disk_that_cannot_be_measured_lets_nobody_else_off_the_watch(tmp_path: Path) -> None:
    api = cast(DockerApi, FakeApi(tmp_path))
    disks = OneBroken(api, machine_of(tmp_path), 0)
    running = {11: {**LISTED, "Id": "broken"}, 12: LISTED}
    assert disks.overruns(running, {11: LIMITS, 12: LIMITS}) == [Overrun(12, 3 * MIB, 2 * MIB)]
    with pytest.raises(EngineError, match="the disk of instance 11 cannot be watched: its layer"):
        disks.overruns({11: running[11]}, {11: LIMITS})


@pytest.mark.usefixtures("reads")
def test_a_disk_that_cannot_be_measured_keeps_no_machine_from_saying_what_it_has(tmp_path: Path) -> None:
    api = FakeApi(tmp_path)
    api.list_containers = lambda _label: [{**LISTED, "Id": "broken"}, LISTED]  # type: ignore[attr-defined]
    disks = OneBroken(cast(DockerApi, api), machine_of(tmp_path), 0)
    assert disks._all_used_bytes() == 3 * MIB


def overruns(tmp_path: Path) -> list[Overrun]:
    disks = TenantDisks(cast(DockerApi, FakeApi(tmp_path)), machine_of(tmp_path), None)
    return disks.overruns({11: LISTED}, {11: LIMITS})


@pytest.mark.usefixtures("reads")
@pytest.mark.parametrize(("project", "is_watched"), [(0, True), (7, False)])
def test_a_container_without_a_project_is_watched(
    tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch, project: int, is_watched: bool
) -> None:
    monkeypatch.setattr(projects, "project_of", lambda _folder: project)
    monkeypatch.setattr(projects, "used_bytes", lambda _folder: 0)
    (layer / "diff" / "file").write_bytes(os.urandom(3 * MIB))
    assert bool(overruns(tmp_path)) is is_watched


def test_a_layer_that_is_gone_is_not_held(tmp_path: Path) -> None:
    assert not Storage("overlay2", True, tmp_path).holds(ID)
    assert Storage("zfs", True, tmp_path).holds(ID)


@pytest.mark.parametrize(("project", "limited"), [(0, []), (7, ["layer"])])
def test_project_0_never_gets_a_limit(
    tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch, project: int, limited: list[str]
) -> None:
    asked: list[str] = []

    def limit_files(folder: Path, _most: int) -> None:
        asked.append(folder.name)
        raise OSError(errno.ENOSYS, "before Linux 5.14")

    monkeypatch.setattr(projects, "project_of", lambda _folder: project)
    monkeypatch.setattr(projects, "limit_files", limit_files)
    Storage("overlay2", True, tmp_path).limit(ID, LIMITS.disk_bytes)
    assert asked == limited


def test_the_machine_is_read_once_for_all_questions_of_a_minute(tmp_path: Path, reads: list[Mapping[str, Any]]) -> None:
    now = 0.0
    machine = machine_of(tmp_path, lambda: now)
    assert machine.storage is machine.storage
    assert machine.disk_enforced
    assert len(reads) == 1
    now += REFRESH_S
    assert machine.storage.data_root == tmp_path
    assert len(reads) == 2
