"""The disk of a contract: refused beyond its size where the driver can, measured everywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpulease_host.docker_engine import btrfs
from gpulease_host.docker_engine.storage import Storage, log_file_bytes, storage_of, writable_bytes
from gpulease_host.engine import Order
from local import images
from tests.host.docker_engine.bench import MIB, SMALL, Bench, name_of, wait_until

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


@pytest.mark.docker
def test_what_an_image_declares_a_volume_counts_and_is_over_with_the_container(own_bench: Bench) -> None:
    image = f"gpulease/test-volume-{os.getpid()}:1"
    images.build(own_bench.client, image, changes=["VOLUME /data"])
    order = own_bench.run("sleep", "60", image=image)
    limits = {order.instance_id: order.limits}
    (mount,) = own_bench.client.inspect_container(name_of(order))["Mounts"]
    within, _ = own_bench.sh(order, f"dd if=/dev/urandom of=/data/file bs=1M count={QUOTA_MIB // 2} && sync")
    assert within == 0
    assert own_bench.engine.watch(limits) == []
    wait_until(lambda: (own_bench.engine.disk_used_bytes(order.instance_id) or 0) >= QUOTA_MIB // 2 * MIB, 20)
    beyond, _ = own_bench.sh(order, f"dd if=/dev/urandom of=/data/more bs=1M count={QUOTA_MIB} && sync")
    assert beyond == 0, "no driver limits a volume"
    wait_until(lambda: bool(own_bench.engine.watch(limits)), 30)
    (overrun,) = own_bench.engine.watch(limits)
    assert (overrun.instance_id, overrun.allowed_bytes) == (order.instance_id, order.limits.disk_bytes)
    assert overrun.used_bytes > QUOTA_MIB * MIB * 3 // 2
    own_bench.engine.remove(*_ids(order))
    own_bench.client.remove_image(image)
    assert not Path(mount["Source"]).exists()


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


def test_enforcing_drivers_get_a_size_and_others_none() -> None:
    image_bytes = 5 * MIB
    assert Storage("overlay2", False, Path("/")).size_option(64 * MIB, image_bytes) is None
    assert Storage("zfs", True, Path("/")).size_option(64 * MIB, image_bytes) == {"size": str(writable_bytes(64 * MIB))}
    with_image = writable_bytes(64 * MIB) + image_bytes
    assert Storage("btrfs", True, Path("/")).size_option(64 * MIB, image_bytes) == {"size": str(with_image)}
