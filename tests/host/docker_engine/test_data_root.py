"""Docker that came up without its disk, as after a reboot that mounts it late: a real one, on an empty disk."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine.data_root import DockerDataRoot
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.engine import Order
from local import dockerd_disk
from tests.host.docker_engine.bench import wait_until
from tests.host.docker_engine.private_docker import PrivateDocker
from tests.host.docker_engine.real_rig import RealRig
from tests.host.orders import HOST_ID, NOW
from tests.host.rig import Rig

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def rig_on(docker: PrivateDocker, folder: Path) -> RealRig:
    rig = RealRig.on(docker.bench.engine, docker.bench.docker_host, folder)
    rig.look()
    return rig


class Disk:
    """Docker's, with its data; another one, empty, takes its place."""

    def __init__(self, docker: PrivateDocker) -> None:
        self.docker = docker
        self.image = docker.daemon.data_image
        self.aside = self.image.with_suffix(".aside")

    def come_up_without(self) -> None:
        self.docker.stop()
        dockerd_disk.unmount(self.docker.daemon.data_root)
        self.image.rename(self.aside)
        self.docker.start()

    def mount_late(self) -> None:
        """Over what Docker runs on meanwhile."""
        root = str(self.docker.daemon.data_root)
        subprocess.run(["mount", "-t", "btrfs", "-o", "loop,noatime", str(self.aside), root], check=True)

    def restart_docker(self) -> None:
        """With the disk in its place."""
        self.docker.stop()
        dockerd_disk.unmount(self.docker.daemon.data_root)
        self.aside.replace(self.image)
        self.docker.start()


def shown(docker: PrivateDocker) -> list[str]:
    return [str(each["Names"][0]) for each in docker.bench.client.containers(all=True)]


def wanted(order: Order, rig: Rig, **changes: Any) -> Order:
    changed = replace(order, end_at=NOW + 3600, delete_after=NOW + 7200, **changes)
    rig.api.orders = [changed]
    return changed


def test_a_contract_waits_for_its_disk_and_goes_on_with_its_data(private_docker: PrivateDocker, tmp_path: Path) -> None:
    bench, disk = private_docker.bench, Disk(private_docker)
    rig = rig_on(private_docker, tmp_path)
    order = bench.order()
    bench.made.append(order)
    rig.api.secrets = b'{"env": {}, "args": ["sleep", "600"]}'
    rig.give(wanted(order, rig))
    assert rig.instance(order.instance_id)["status"] == "running", rig.instance(order.instance_id)["reason"]
    assert bench.sh(order, "echo precious > /data")[0] == 0
    bench.engine.stop(order.instance_id, grace_s=0)
    disk.come_up_without()
    rig.look()
    assert shown(private_docker) == []
    assert "came up without its data" in rig.instance(order.instance_id)["reason"]
    assert {each["status"] for each in rig.state()["gpus"]} <= {"held", "quarantined"}
    rig.give(wanted(order, rig, generation=2, token=2))
    rig.look()
    assert shown(private_docker) == [], "a start got a new, empty disk"
    disk.mount_late()
    rig.look()
    assert "Restart Docker" in rig.instance(order.instance_id)["reason"]
    disk.restart_docker()
    rig.look()
    assert rig.instance(order.instance_id)["status"] == "running"
    assert bench.sh(order, "cat /data") == (0, "precious\n")


def test_a_removal_without_the_data_is_not_told_as_done(private_docker: PrivateDocker, tmp_path: Path) -> None:
    bench, disk = private_docker.bench, Disk(private_docker)
    rig = rig_on(private_docker, tmp_path)
    order = bench.order()
    bench.made.append(order)
    rig.api.secrets = b'{"env": {}, "args": ["sleep", "600"]}'
    rig.give(wanted(order, rig))
    bench.engine.stop(order.instance_id, grace_s=0)
    disk.come_up_without()
    rig.look()
    rig.give(wanted(order, rig, generation=2, desired="absent", token=None))
    rig.look()
    assert rig.instance(order.instance_id)["status"] == "stopping"
    disk.mount_late()
    disk.restart_docker()
    assert len(shown(private_docker)) == 1
    rig.look()
    wait_until(lambda: not shown(private_docker), 20)
    assert rig.instance(order.instance_id)["status"] == "absent"


def test_hosts_that_share_a_docker_have_marks_of_their_own(private_docker: PrivateDocker) -> None:
    api = DockerApi(private_docker.bench.docker_host)
    one, other = DockerDataRoot(api, HOST_ID + 1), DockerDataRoot(api, HOST_ID + 2)
    one.mark("one")
    assert (one.see().mark, other.see().mark, one.see().is_covered) == ("one", None, False)
