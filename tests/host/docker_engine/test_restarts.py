"""What Docker forgets when it is stopped and started, and what of it must hold all the same."""

from __future__ import annotations

import subprocess

import pytest

from gpulease_host.docker_engine import btrfs
from gpulease_host.engine import Order
from tests.host.docker_engine.bench import MIB, SMALL, wait_until
from tests.host.docker_engine.private_docker import PrivateDocker

pytestmark = [pytest.mark.docker, pytest.mark.slow]
TOO_MUCH = SMALL.disk_bytes + 10 * MIB


def test_a_disk_limit_holds_in_a_container_that_is_started_after_docker_has_switched_quotas_off(
    private_docker: PrivateDocker,
) -> None:
    order = private_docker.bench.run("sleep", "600")
    private_docker.bench.engine.stop(order.instance_id, grace_s=0)
    private_docker.stop()
    assert not quotas_are_on(private_docker), "Docker no longer switches them off"
    private_docker.start()
    private_docker.bench.start(order, "sleep", "600")
    assert is_held_to_its_disk(private_docker, order)


def test_a_disk_limit_that_is_forgotten_under_a_running_container_is_set_again(private_docker: PrivateDocker) -> None:
    order = private_docker.bench.run("sleep", "600")
    subprocess.run(["btrfs", "quota", "disable", str(private_docker.daemon.data_root)], check=True)
    assert not is_held_to_its_disk(private_docker, order)
    private_docker.bench.engine.watch({order.instance_id: order.limits})
    wait_until(lambda: btrfs.recount(private_docker.daemon.data_root), 30)
    assert is_held_to_its_disk(private_docker, order)


def quotas_are_on(private_docker: PrivateDocker) -> bool:
    listed = subprocess.run(
        ["btrfs", "qgroup", "show", str(private_docker.daemon.data_root)], capture_output=True, check=False
    )
    return listed.returncode == 0


def is_held_to_its_disk(private_docker: PrivateDocker, order: Order) -> bool:
    status, _ = private_docker.bench.sh(order, f"fallocate -l {TOO_MUCH} /too-much")
    private_docker.bench.sh(order, "rm -f /too-much")
    return status != 0
