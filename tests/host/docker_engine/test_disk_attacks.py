"""Root in a container against the limit of its disk, on the Docker that runs: xfs with project quotas, or btrfs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpulease_host.docker_engine import btrfs_nested, projects
from gpulease_host.docker_engine.storage import FILE_BYTES, writable_bytes
from gpulease_host.engine import Order
from local import images
from tests.host.docker_engine.attacks import DONE, attacker_in
from tests.host.docker_engine.bench import MIB, SMALL, Bench, name_of, wait_until
from tests.host.docker_engine.disks import need_driver, need_enforcement, run_unguarded, storage_of_bench

QUOTA_MIB = SMALL.disk_bytes // MIB
REFUSALS = {"EPERM", "ENOSYS"}
MANY = 200_000

pytestmark = pytest.mark.docker


def test_no_attribute_takes_a_file_out_of_the_limit(bench: Bench) -> None:
    need_enforcement(bench)
    order = bench.run("sleep", "600")
    attacker = attacker_in(bench, order)
    bench.sh(order, "mkdir /dir && touch /file")
    assert attacker.tries("project", "/file", "0", "0") in REFUSALS
    assert attacker.tries("project", "/dir", "0", "4711") in REFUSALS
    assert attacker.tries("project-by-syscall", "/file", "0") in REFUSALS
    assert attacker.tries("flags", "/dir", "0") in REFUSALS
    assert attacker.tries("subvolume", "/dir", "new") in REFUSALS
    assert attacker.tries("snapshot", "/", "/dir", "copy") in REFUSALS
    status, output = bench.sh(order, f"dd if=/dev/zero of=/dir/toobig bs=1M count={QUOTA_MIB + 10}")
    assert status != 0
    assert "quota" in output.lower() or "no space" in output.lower()


def test_what_is_written_to_mounted_files_of_the_host_counts(bench: Bench) -> None:
    """/etc/hosts and its like are files of the host, in no layer: no driver limits them."""
    order = bench.run("sleep", "600")
    limits = {order.instance_id: order.limits}
    assert bench.engine.watch(limits) == []
    status, output = bench.sh(order, f"dd if=/dev/zero of=/etc/hosts bs=1M count={QUOTA_MIB + 10} && sync")
    assert status == 0, output
    wait_until(lambda: bool(bench.engine.watch(limits)), 60)
    folder = storage_of_bench(bench).data_root / "containers" / bench.docker_id(order)
    bench.engine.remove(order.contract_id, order.instance_id)
    assert not folder.exists()


def test_empty_files_are_limited_too(bench: Bench) -> None:
    need_enforcement(bench)
    order = bench.run("sleep", "600")
    bench.sh(order, "mkdir /many")
    made, error = attacker_in(bench, order).says("fill", "/many", str(MANY))[-1].split()
    assert error != "0"
    if storage_of_bench(bench).driver == "overlay2":
        assert int(made) <= writable_bytes(order.limits.disk_bytes) // FILE_BYTES


def test_a_volume_of_the_image_is_in_the_same_project(bench: Bench) -> None:
    need_driver(bench, "overlay2")
    need_enforcement(bench)
    image = f"gpulease/test-volume-{os.getpid()}:1"
    images.build(bench.client, image, changes=["VOLUME /data"])
    order = bench.run("sleep", "600", image=image)
    (mount,) = bench.client.inspect_container(name_of(order))["Mounts"]
    layer = storage_of_bench(bench).layer_directory(bench.docker_id(order))
    assert layer is not None
    assert projects.project_of(Path(mount["Source"])) == projects.project_of(layer) != 0
    bench.sh(order, f"dd if=/dev/zero of=/data/half bs=1M count={QUOTA_MIB // 2} && sync")
    used = bench.engine.disk_used_bytes(order.instance_id) or 0
    assert QUOTA_MIB // 2 * MIB <= used < (QUOTA_MIB // 2 + 4) * MIB
    beyond, _ = bench.sh(order, f"dd if=/dev/zero of=/data/more bs=1M count={QUOTA_MIB}")
    bench.engine.remove(order.contract_id, order.instance_id)
    bench.client.remove_image(image)
    assert beyond != 0


def test_files_in_other_projects_count_where_no_profile_of_ours_forbade_it(bench: Bench) -> None:
    """Shows too that the attack is one."""
    need_driver(bench, "overlay2")
    need_enforcement(bench)
    order = run_unguarded(bench)
    attacker = attacker_in(bench, order)
    bench.sh(order, "mkdir /dir /other")
    assert attacker.tries("project", "/dir", "0", "0") == DONE
    assert attacker.tries("flags", "/other", "0") in (DONE, "EOPNOTSUPP")
    status, output = bench.sh(order, f"dd if=/dev/zero of=/dir/toobig bs=1M count={QUOTA_MIB * 2} && sync")
    assert status == 0, output
    _is_over(bench, order)


def test_nested_subvolumes_count_and_do_not_hold_up_the_removal(bench: Bench) -> None:
    """Of a container that could make them."""
    need_driver(bench, "btrfs")
    order = run_unguarded(bench)
    attacker = attacker_in(bench, order)
    subvolume = storage_of_bench(bench)._subvolume(bench.docker_id(order))
    assert attacker.tries("subvolume", "/", "first") == DONE
    assert attacker.tries("subvolume", "/first", "second") == DONE
    assert attacker.tries("snapshot", "/", "/first/second", "copy") == DONE
    status, output = bench.sh(order, f"dd if=/dev/urandom of=/first/toobig bs=1M count={QUOTA_MIB * 2} && sync")
    assert status == 0, output
    assert attacker.tries("read-only", "/first") == DONE
    assert len(btrfs_nested.nested_in(subvolume)) == 3
    _is_over(bench, order)
    bench.engine.remove(order.contract_id, order.instance_id)
    assert not subvolume.exists()
    assert bench.leftovers(order) == []


def _is_over(bench: Bench, order: Order) -> None:
    limits = {order.instance_id: order.limits}
    wait_until(lambda: bool(bench.engine.watch(limits)), 60)
    (overrun,) = bench.engine.watch(limits)
    assert overrun.used_bytes > order.limits.disk_bytes
