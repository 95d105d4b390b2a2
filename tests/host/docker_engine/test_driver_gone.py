"""A driver that stops answering under a host with contracts: NVIDIA's library is a double, Docker a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.engine import Order
from gpulease_host.inventory_nvml import NvmlGpus
from gpulease_host.nvml_process import AGAIN_S, NvmlProcess
from tests.host.docker_engine.bench import Bench
from tests.host.docker_engine.conftest import bench_on
from tests.host.docker_engine.real_rig import RealRig
from tests.host.fakes import FakeClock
from tests.host.nvml_stub import LOST, MISMATCH, NvmlStub

pytestmark = pytest.mark.docker


class DeclaredGpus(NvmlGpus):
    """Of the driver; declared to the double of NVIDIA's hook, which gives them to containers."""

    simulated = True


class Host:
    """`restart_with` is what another daemon finds: of GPUs only what is on the disk."""

    def __init__(self, docker_host: str, folder: Path) -> None:
        self.docker_host, self.folder, self.clock = docker_host, folder, FakeClock(time.time())
        self.process = NvmlProcess(60.0, self.clock)
        self.gpus = DeclaredGpus(self.process.ask, folder / "gpus.json")

    def restart_with(self, bench: Bench, rig: RealRig) -> None:
        self.process.close()
        self.gpus = DeclaredGpus(self.process.ask, self.folder / "gpus.json")
        bench.engine._gpus = self.gpus
        rig.boot()

    def rig_on(self, bench: Bench) -> RealRig:
        rig = RealRig.on(bench.engine, self.docker_host, self.folder, clock=self.clock)
        rig.api.secrets = b'{"env": {}, "args": ["sh", "-c", "echo here; exec sleep 600"]}'
        rig.look()
        return rig


@pytest.fixture
def host(nvml: NvmlStub, own_docker_host: str, tmp_path: Path) -> Iterator[Host]:
    nvml.say(count=4)
    made = Host(own_docker_host, tmp_path)
    yield made
    made.process.close()


def ordered(rig: RealRig, bench: Bench, gpu: int, lasts_s: int = 3600) -> Order:
    end_at = int(rig.clock()) + lasts_s
    order = bench.order(gpu=gpu, end_at=end_at, delete_after=end_at + 3600)
    bench.made.append(order)
    rig.api.orders.append(order)
    rig.give(order)
    return order


def test_without_a_driver_a_daemon_starts_and_does_all_that_needs_none(host: Host, nvml: NvmlStub) -> None:
    with bench_on(host.docker_host, host.folder, gpus=host.gpus) as bench:
        rig = host.rig_on(bench)
        ending, stopped, runs_on = (ordered(rig, bench, gpu, lasts_s) for gpu, lasts_s in ((0, 45), (1, 900), (2, 900)))
        for each in (ending, stopped, runs_on):
            assert rig.instance(each.instance_id)["status"] == "running", rig.instance(each.instance_id)["reason"]
        nvml.say(init=MISMATCH)
        host.restart_with(bench, rig)
        rig.give(replace(stopped, generation=2, desired="stopped", token=None))
        rig.pass_time(60)
        assert [rig.instance(each.instance_id)["status"] for each in (ending, stopped, runs_on)] == [
            "stopped", "stopped", "running",
        ]  # fmt: skip
        assert [bench.seen(each).status for each in (ending, stopped, runs_on)] == ["exited", "exited", "running"]
        assert [gpu["status"] for gpu in rig.state()["gpus"]] == ["quarantined", "quarantined", "held", "quarantined"]
        assert "the driver was updated" in rig.gpu(3)["reason"]
        assert "the driver was updated" in rig.state()["inventory"]["not_ready"][0], "the owner is told once, in whole"
        assert bench.engine.run_command(runs_on.instance_id, ["echo", "in"], 10)["stdout"] == "in\n"
        assert bench.engine.read_logs(runs_on.instance_id, 10, None, None)["items"][0]["text"] == "here"
        rig.give(replace(stopped, generation=3, desired="absent", token=None))
        assert rig.instance(stopped.instance_id)["status"] == "absent"
        late = ordered(rig, bench, 3)
        assert rig.instance(late.instance_id)["status"] == "loading"
        assert "the driver was updated" in rig.instance(late.instance_id)["reason"]
        nvml.unsay("init")
        host.clock.now += AGAIN_S
        rig.pass_time(20)
        assert rig.instance(late.instance_id)["status"] == "running"
        assert [gpu["status"] for gpu in rig.state()["gpus"]] == ["free", "free", "held", "held"]
        assert rig.state()["inventory"]["not_ready"] == []


def test_a_lost_gpu_is_out_of_use_and_the_others_are_rented(host: Host, nvml: NvmlStub) -> None:
    with bench_on(host.docker_host, host.folder, gpus=host.gpus) as bench:
        rig = host.rig_on(bench)
        nvml.say(driver_version=999, **{"2.handle": LOST})
        host.restart_with(bench, rig)
        rig.pass_time(11)
        assert [gpu["status"] for gpu in rig.state()["gpus"]] == ["free", "free", "quarantined", "free"]
        assert "GPU is lost" in rig.gpu(2)["reason"]
        assert rig.state()["inventory"]["not_ready"] == [], "the others can be rented"
        assert rig.instance(ordered(rig, bench, 3).instance_id)["status"] == "running"
        lost = ordered(rig, bench, 2)
        assert rig.instance(lost.instance_id)["status"] == "failed"
        assert "GPU is lost" in rig.instance(lost.instance_id)["reason"]
