"""Where a weight of block I/O has an effect: told from what the kernel shows of disks, as files in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gpulease_host.docker_engine.machine import weighs_io


@dataclass
class Disks:
    """`path` lies on the device that `add` is given no number for."""

    root: Path

    @property
    def path(self) -> Path:
        return self.root

    @property
    def own_number(self) -> str:
        device = self.root.stat().st_dev
        return f"{device >> 8 & 0xFFF}:{device & 0xFF}"

    def add(self, scheduler: str | None, number: str | None = None, below: Path | None = None) -> Path:
        number = number or self.own_number
        folder = (below or self.root / "disks") / number
        (folder / "queue").mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
        if scheduler is not None:
            (folder / "queue" / "scheduler").write_text(f"{scheduler}\n")
        (self.root / "block").mkdir(exist_ok=True)
        (self.root / "block" / number).symlink_to(folder)
        return folder

    def weigh(self, qos: str | None = None) -> bool:
        if qos is not None:
            (self.root / "io.cost.qos").write_text(qos)
        return weighs_io(self.path, self.root / "block", self.root)


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return Disks(tmp_path)


def test_a_file_system_without_a_device_of_its_own_is_not_weighed(disks: Disks) -> None:
    assert not disks.weigh()


@pytest.mark.parametrize(
    ("scheduler", "weighs"),
    [("none [mq-deadline] bfq", False), ("none mq-deadline [bfq]", True), ("[none] mq-deadline kyber bfq", False)],
)
def test_a_disk_is_weighed_under_bfq(disks: Disks, scheduler: str, weighs: bool) -> None:
    disks.add(scheduler)
    assert disks.weigh() is weighs


def test_a_partition_is_weighed_as_its_disk_is(disks: Disks) -> None:
    disk = disks.add("[bfq]", "8:0")
    (disks.add(None, below=disk) / "partition").write_text("1\n")
    assert disks.weigh()
    (disk / "queue" / "scheduler").write_text("[mq-deadline] bfq\n")
    assert not disks.weigh()


def test_a_volume_over_two_disks_is_weighed_when_both_are(disks: Disks) -> None:
    volume, first, second = disks.add("none"), disks.add("[bfq]", "8:0"), disks.add("[none]", "8:16")
    (volume / "slaves").mkdir()
    for disk in (first, second):
        (volume / "slaves" / disk.name).symlink_to(disk)
    assert not disks.weigh()
    (second / "queue" / "scheduler").write_text("[bfq]\n")
    assert disks.weigh()


def test_a_disk_is_weighed_by_cost_where_that_is_enabled(disks: Disks) -> None:
    disks.add("[none]")
    assert not disks.weigh("")
    assert not disks.weigh(f"{disks.own_number} enable=0 ctrl=auto\n")
    assert not disks.weigh("999:0 enable=1 ctrl=auto\n")
    assert disks.weigh(f"999:0 enable=0\n{disks.own_number} enable=1 ctrl=user rpct=0.00\n")
