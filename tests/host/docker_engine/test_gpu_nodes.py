"""Which device nodes a container gets: those of its own GPUs, by number of the driver, and the driver's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.docker_engine.gpu_nodes import GpuNodes
from gpulease_host.inventory import Gpu
from tests.host.orders import order, uuid_of

OTHERS_MINOR, OWN_MINOR = 0, 3
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
    nodes = GpuNodes(GPUS, devices, tmp_path / "links").prepare(order(gpus=(1,)))
    assert [node.in_container for node in nodes] == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia3"]
    assert Path(nodes[-1].on_host).readlink() == devices / "nvidia3"
    assert [node.on_host for node in nodes[:2]] == [str(devices / "nvidiactl"), str(devices / "nvidia-uvm")]


def test_the_path_of_a_gpu_leads_to_it_also_when_its_number_is_another(tmp_path: Path, devices: Path) -> None:
    """A reboot may exchange numbers, and a container keeps the paths that it was made with."""
    before = GpuNodes(GPUS, devices, tmp_path / "links").prepare(order(gpus=(1,)))[-1]
    exchanged = (Gpu(0, uuid_of(0), "H200", 1, OWN_MINOR), Gpu(1, uuid_of(1), "H200", 1, OTHERS_MINOR))
    after = GpuNodes(exchanged, devices, tmp_path / "links").prepare(order(gpus=(1,)))[-1]
    assert after.on_host == before.on_host
    assert Path(before.on_host).readlink() == devices / "nvidia0"
    assert [path.name for path in (tmp_path / "links").iterdir()] == [uuid_of(1)]


def test_a_simulated_gpu_has_no_node_and_one_without_a_node_is_left_out(tmp_path: Path, devices: Path) -> None:
    simulated = (Gpu(1, uuid_of(1), "Simulated GPU", 1),)
    assert GpuNodes(simulated, devices, tmp_path / "links").prepare(order(gpus=(1,))) == []
    (devices / "nvidia3").unlink()
    names = [node.in_container for node in GpuNodes(GPUS, devices, tmp_path / "links").prepare(order(gpus=(1,)))]
    assert names == ["/dev/nvidiactl", "/dev/nvidia-uvm"]


def test_missing_nodes_are_asked_of_the_driver_once(
    tmp_path: Path, devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "nvidia-modprobe"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nln -s /dev/null {devices}/nvidia-uvm-tools\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    nodes = GpuNodes(GPUS, devices, tmp_path / "links")
    for _ in range(2):
        names = [node.in_container for node in nodes.prepare(order(gpus=(0,)))]
    assert names == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia0"]
    assert (tmp_path / "asked").read_text() == "-u -m -c=0 -c=3\n"
