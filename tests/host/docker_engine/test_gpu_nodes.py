"""Which device nodes a container gets: those of its own GPUs, by number of the driver, and the driver's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.docker_engine.gpu_nodes import GpuNodes
from gpulease_host.inventory import Gpu
from gpulease_host.inventory_simulated import SimulatedGpus
from tests.host.docker_engine.bench import GROUP_ROOT, Bench
from tests.host.docker_engine.conftest import bench_on
from tests.host.orders import order, uuid_of

OTHERS_MINOR, OWN_MINOR = 0, 3
# Numbers of nodes that no driver here has made, and the number of NVIDIA's among drivers.
MADE_MINOR, MADE_OTHERS_MINOR, NVIDIA_MAJOR = 201, 202, 195
GPUS = (Gpu(0, uuid_of(0), "H200", 1, OTHERS_MINOR), Gpu(1, uuid_of(1), "H200", 1, OWN_MINOR))


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """Links to a character device stand for nodes, which only root could make."""
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (folder / name).symlink_to("/dev/null")
    (folder / "nvidia-modeset").write_text("no device")
    return folder


def test_exactly_the_ordered_gpus_and_the_drivers_own_nodes(tmp_path: Path, devices: Path) -> None:
    nodes = GpuNodes(lambda: GPUS, devices, tmp_path / "links").prepare(order(gpus=(1,)))
    assert [node.in_container for node in nodes] == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia3"]
    assert Path(nodes[-1].on_host).readlink() == devices / "nvidia3"
    assert [node.on_host for node in nodes[:2]] == [str(devices / "nvidiactl"), str(devices / "nvidia-uvm")]


def test_each_node_is_found_by_its_number_too(tmp_path: Path, devices: Path) -> None:
    nodes = GpuNodes(lambda: GPUS, devices, tmp_path / "links")
    number = (devices / "nvidia3").stat().st_rdev
    link = devices / "char" / f"{os.major(number)}:{os.minor(number)}"
    link.parent.mkdir()
    link.symlink_to("../gone")
    for _ in range(2):
        nodes.prepare(order(gpus=(1,)))
        assert link.stat().st_rdev == number


def test_the_path_of_a_gpu_leads_to_it_also_when_its_number_is_another(tmp_path: Path, devices: Path) -> None:
    """A reboot may exchange numbers, and a container keeps the paths that it was made with."""
    before = GpuNodes(lambda: GPUS, devices, tmp_path / "links").prepare(order(gpus=(1,)))[-1]
    exchanged = (Gpu(0, uuid_of(0), "H200", 1, OWN_MINOR), Gpu(1, uuid_of(1), "H200", 1, OTHERS_MINOR))
    after = GpuNodes(lambda: exchanged, devices, tmp_path / "links").prepare(order(gpus=(1,)))[-1]
    assert after.on_host == before.on_host
    assert Path(before.on_host).readlink() == devices / "nvidia0"
    assert [path.name for path in (tmp_path / "links").iterdir()] == [uuid_of(1)]


def test_a_simulated_gpu_has_no_node_and_one_without_a_node_is_left_out(tmp_path: Path, devices: Path) -> None:
    simulated = (Gpu(1, uuid_of(1), "Simulated GPU", 1),)
    assert GpuNodes(lambda: simulated, devices, tmp_path / "links").prepare(order(gpus=(1,))) == []
    (devices / "nvidia3").unlink()
    names = [
        node.in_container for node in GpuNodes(lambda: GPUS, devices, tmp_path / "links").prepare(order(gpus=(1,)))
    ]
    assert names == ["/dev/nvidiactl", "/dev/nvidia-uvm"]


def test_missing_nodes_are_asked_of_the_driver_once(
    tmp_path: Path, devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "nvidia-modprobe"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nln -s /dev/null {devices}/nvidia-uvm-tools\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    nodes = GpuNodes(lambda: GPUS, devices, tmp_path / "links")
    for _ in range(2):
        names = [node.in_container for node in nodes.prepare(order(gpus=(0,)))]
    assert names == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia0"]
    assert (tmp_path / "asked").read_text() == "-u -m -c=0 -c=3\n"


class GpusWithNodes(SimulatedGpus):
    def gpus(self) -> list[Gpu]:
        numbers = (MADE_MINOR, MADE_OTHERS_MINOR, None, None)
        return [replace(gpu, minor=minor) for gpu, minor in zip(super().gpus(), numbers, strict=True)]


@pytest.mark.docker
def test_the_node_of_an_ordered_gpu_opens_after_a_reload_too_and_no_other_does(
    docker_host: str, tmp_path: Path
) -> None:
    with _made_nodes(), bench_on(docker_host, tmp_path, gpus=GpusWithNodes(4, "seed")) as bench:
        container_id = bench.start(given := bench.order(), "sleep", "600")
        assert bench.sh(given, "cd /dev && echo nvidia*") == (0, f"nvidia{MADE_MINOR}\n")
        for _ in range(2):
            assert "No such device or address" in _opening(bench, container_id, MADE_MINOR), "nothing is behind it"
            assert "Operation not permitted" in _opening(bench, container_id, MADE_OTHERS_MINOR)
            _have_systemd_reload()
        bench.engine.stop(given.instance_id, grace_s=0)
        bench.start(given, "sleep", "600")
        assert "No such device or address" in bench.sh(given, f"cat /dev/nvidia{MADE_MINOR} 2>&1")[1]


@contextmanager
def _made_nodes() -> Iterator[None]:
    """Of a driver that is not there."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("a real driver is here")
    minors = (MADE_MINOR, MADE_OTHERS_MINOR)
    nodes = {Path(f"/dev/nvidia{minor}"): minor for minor in minors}
    try:
        for node, minor in nodes.items():
            os.mknod(node, 0o20666, os.makedev(NVIDIA_MAJOR, minor))
        yield
    finally:
        for path in (*nodes, *(Path(f"/dev/char/{NVIDIA_MAJOR}:{minor}") for minor in minors)):
            path.unlink(missing_ok=True)


def _have_systemd_reload() -> None:
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "daemon-reload"], check=True)


def _opening(bench: Bench, container_id: str, minor: int) -> str:
    """From the container's group, at the host's node: no capability and no missing node is in the way."""
    root = GROUP_ROOT if (GROUP_ROOT / "cgroup.controllers").exists() else GROUP_ROOT / "devices"
    group = root / bench.tenants.of_container(container_id)
    script = f"echo $$ > {group}/cgroup.procs && exec cat /dev/nvidia{minor}"
    return subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True).stderr
