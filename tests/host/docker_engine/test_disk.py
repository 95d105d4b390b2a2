"""The disk of a contract: refused beyond its size where the driver can, measured everywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpulease_host.docker_engine import btrfs
from gpulease_host.docker_engine.storage import DiskMeter, Storage, log_file_bytes, storage_of, writable_bytes
from gpulease_host.engine import Order
from tests.host.docker_engine.bench import MIB, SMALL, Bench, wait_until

QUOTA_MIB = SMALL.disk_bytes // MIB


@pytest.mark.docker
def test_writes_beyond_the_disk_are_refused_and_up_to_it_are_not(own_bench: Bench) -> None:
    order = own_bench.run("sleep", "60")
    within, _ = own_bench.sh(order, f"dd if=/dev/urandom of=/fits bs=1M count={QUOTA_MIB * 3 // 4}")
    status, output = own_bench.sh(order, f"dd if=/dev/urandom of=/toobig bs=1M count={QUOTA_MIB}")
    assert within == 0
    assert status != 0
    assert "quota" in output.lower() or "no space" in output.lower()


@pytest.mark.docker
def test_the_limit_is_still_there_after_a_stop_and_a_start(own_bench: Bench) -> None:
    order = own_bench.run("sleep", "60")
    own_bench.engine.stop(order.instance_id, grace_s=0)
    own_bench.start(order, "sleep", "60")
    status, _ = own_bench.sh(order, f"dd if=/dev/urandom of=/toobig bs=1M count={QUOTA_MIB + 10}")
    assert status != 0


@pytest.mark.docker
def test_used_disk_is_what_the_container_wrote_without_its_image(own_bench: Bench) -> None:
    order = own_bench.run("sleep", "60")
    own_bench.sh(order, "dd if=/dev/urandom of=/file bs=1M count=20 && sync")
    root = own_bench.client.info()["DockerRootDir"]
    os.sync()

    def measured() -> bool:
        used = own_bench.engine.disk_used_bytes(order.instance_id) or 0
        return 20 * MIB <= used <= 24 * MIB

    wait_until(measured, 40)
    assert Path(root).is_dir()


@pytest.mark.docker
@pytest.mark.parametrize("starts_anew", [True, False])
def test_the_limit_holds_after_the_kernel_has_lost_count(own_bench: Bench, starts_anew: bool) -> None:
    running = own_bench.run("sleep", "60")
    root = Path(own_bench.client.info()["DockerRootDir"])
    qgroups = btrfs.qgroups_of(root)
    (qgroups / "drop_subtree_threshold").write_text("0")  # any removal makes it lose count
    own_bench.engine.remove(*_ids(own_bench.run("sleep", "60")))

    def has_lost_count() -> bool:
        subprocess.run(["btrfs", "filesystem", "sync", str(root)], check=True, capture_output=True)
        return (qgroups / "inconsistent").read_text().strip() == "1"

    def counts_again() -> bool:
        own_bench.engine.watch({})
        return (qgroups / "inconsistent").read_text().strip() == "0"

    wait_until(has_lost_count, 60)
    (qgroups / "drop_subtree_threshold").write_text("3")
    new = own_bench.run("sleep", "60") if starts_anew else running
    wait_until(lambda: starts_anew or counts_again(), 30)
    status, _ = own_bench.sh(new, f"dd if=/dev/urandom of=/toobig bs=1M count={QUOTA_MIB + 10}")
    assert status != 0


def _ids(order: Order) -> tuple[int, int]:
    return order.contract_id, order.instance_id


def test_logs_have_their_place_in_the_disk() -> None:
    assert writable_bytes(64 * MIB) + 2 * log_file_bytes(64 * MIB) == 64 * MIB
    assert log_file_bytes(10 << 40) == 10 * MIB
    assert log_file_bytes(1 * MIB) == 64 << 10


@pytest.mark.parametrize(
    ("driver", "backing", "options", "enforced"),
    [
        ("btrfs", None, "rw", True),
        ("zfs", None, "rw", True),
        ("overlay2", "xfs", "rw,prjquota", True),
        ("overlay2", "xfs", "rw,noquota", False),
        ("overlay2", "extfs", "rw", False),
        ("vfs", None, "rw", False),
    ],
)
def test_which_drivers_enforce(tmp_path: Path, driver: str, backing: str | None, options: str, enforced: bool) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"1 0 8:1 / / rw - ext4 /dev/a rw,prjquota\n2 1 8:2 / /docker rw - xfs /dev/b {options}\n")
    status = [["Backing Filesystem", backing]] if backing else []
    info = {"Driver": driver, "DockerRootDir": "/docker/data", "DriverStatus": status}
    assert storage_of(info, mountinfo).enforced is enforced


def test_a_soft_disk_is_measured_file_by_file_and_not_on_every_question(tmp_path: Path) -> None:
    (tmp_path / "image/overlay2/layerdb/mounts/abc").mkdir(parents=True)
    (tmp_path / "image/overlay2/layerdb/mounts/abc/mount-id").write_text("m1")
    layer = tmp_path / "overlay2/m1/diff/dir"
    layer.mkdir(parents=True)
    (layer / "file").write_bytes(os.urandom(MIB))
    logs = tmp_path / "containers/abc"
    logs.mkdir(parents=True)
    (logs / "abc-json.log").write_bytes(os.urandom(MIB))
    clock = [100.0]
    meter, storage = DiskMeter(lambda: clock[0]), Storage("overlay2", False, tmp_path)

    def used() -> int:
        return meter.used_bytes(storage, "abc", lambda: None) or 0

    assert 2 * MIB <= used() < 2 * MIB + (64 << 10)
    (layer / "more").write_bytes(os.urandom(MIB))
    assert used() < 3 * MIB, "too early to walk again"
    clock[0] += 6
    assert used() >= 3 * MIB


def test_enforcing_drivers_get_a_size_and_others_none() -> None:
    image_bytes = 5 * MIB
    assert Storage("overlay2", False, Path("/")).size_option(64 * MIB, image_bytes) is None
    assert Storage("zfs", True, Path("/")).size_option(64 * MIB, image_bytes) == {"size": str(writable_bytes(64 * MIB))}
    with_image = writable_bytes(64 * MIB) + image_bytes
    assert Storage("btrfs", True, Path("/")).size_option(64 * MIB, image_bytes) == {"size": str(with_image)}
