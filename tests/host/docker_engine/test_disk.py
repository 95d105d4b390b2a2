"""The disk of a contract: refused beyond its size where the driver can, measured everywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpulease_host.docker_engine import btrfs
from gpulease_host.engine import Order
from local import images
from tests.host.docker_engine.bench import MIB, SMALL, Bench, name_of, wait_until
from tests.host.docker_engine.disks import need_driver, need_enforcement, storage_of_bench

QUOTA_MIB = SMALL.disk_bytes // MIB


@pytest.mark.docker
def test_writes_beyond_the_disk_are_refused_and_up_to_it_are_not(bench: Bench) -> None:
    need_enforcement(bench)
    order = bench.run("sleep", "600")
    within, _ = bench.sh(order, f"dd if=/dev/urandom of=/fits bs=1M count={QUOTA_MIB * 3 // 4}")
    status, output = bench.sh(order, f"dd if=/dev/urandom of=/toobig bs=1M count={QUOTA_MIB}")
    assert within == 0
    assert status != 0
    assert "quota" in output.lower() or "no space" in output.lower()


@pytest.mark.docker
def test_the_limit_is_still_there_after_a_stop_and_a_start(bench: Bench) -> None:
    need_enforcement(bench)
    order = bench.run("sleep", "600")
    bench.engine.stop(order.instance_id, grace_s=0)
    bench.start(order, "sleep", "600")
    status, _ = bench.sh(order, f"dd if=/dev/urandom of=/toobig bs=1M count={QUOTA_MIB + 10}")
    assert status != 0


@pytest.mark.docker
def test_used_disk_is_what_the_container_wrote_without_its_image(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    bench.sh(order, "dd if=/dev/urandom of=/file bs=1M count=20 && sync")
    root = bench.client.info()["DockerRootDir"]
    os.sync()

    def measured() -> bool:
        used = bench.engine.disk_used_bytes(order.instance_id) or 0
        return 20 * MIB <= used <= 24 * MIB

    wait_until(measured, 40)
    assert Path(root).is_dir()


@pytest.mark.docker
@pytest.mark.parametrize("starts_anew", [True, False])
def test_the_limit_holds_after_the_kernel_has_lost_count(bench: Bench, starts_anew: bool) -> None:
    need_driver(bench, "btrfs")
    running = bench.run("sleep", "600")
    root = Path(bench.client.info()["DockerRootDir"])
    qgroups = btrfs.qgroups_of(root)
    (qgroups / "drop_subtree_threshold").write_text("0")  # any removal makes it lose count
    bench.engine.remove(*_ids(bench.run("sleep", "600")))

    def has_lost_count() -> bool:
        subprocess.run(["btrfs", "filesystem", "sync", str(root)], check=True, capture_output=True)
        return (qgroups / "inconsistent").read_text().strip() == "1"

    def counts_again() -> bool:
        bench.engine.watch({})
        return (qgroups / "inconsistent").read_text().strip() == "0"

    wait_until(has_lost_count, 60)
    (qgroups / "drop_subtree_threshold").write_text("3")
    new = bench.run("sleep", "600") if starts_anew else running
    wait_until(lambda: starts_anew or counts_again(), 30)
    status, _ = bench.sh(new, f"dd if=/dev/urandom of=/toobig bs=1M count={QUOTA_MIB + 10}")
    assert status != 0


def _ids(order: Order) -> tuple[int, int]:
    return order.contract_id, order.instance_id


@pytest.mark.docker
def test_what_an_image_declares_a_volume_counts_and_is_over_with_the_container(bench: Bench) -> None:
    storage = storage_of_bench(bench)
    if storage.enforced and storage.driver == "overlay2":
        pytest.skip("volumes are in the container's own project there")
    image = f"gpulease/test-volume-{os.getpid()}:1"
    images.build(bench.client, image, changes=["VOLUME /data"])
    order = bench.run("sleep", "600", image=image)
    limits = {order.instance_id: order.limits}
    (mount,) = bench.client.inspect_container(name_of(order))["Mounts"]
    within, _ = bench.sh(order, f"dd if=/dev/urandom of=/data/file bs=1M count={QUOTA_MIB // 2} && sync")
    assert within == 0
    assert bench.engine.watch(limits) == []
    wait_until(lambda: (bench.engine.disk_used_bytes(order.instance_id) or 0) >= QUOTA_MIB // 2 * MIB, 20)
    beyond, _ = bench.sh(order, f"dd if=/dev/urandom of=/data/more bs=1M count={QUOTA_MIB} && sync")
    assert beyond == 0, "no driver limits a volume"
    wait_until(lambda: bool(bench.engine.watch(limits)), 30)
    (overrun,) = bench.engine.watch(limits)
    assert (overrun.instance_id, overrun.allowed_bytes) == (order.instance_id, order.limits.disk_bytes)
    assert overrun.used_bytes > QUOTA_MIB * MIB * 3 // 2
    bench.engine.remove(*_ids(order))
    bench.client.remove_image(image)
    assert not Path(mount["Source"]).exists()
