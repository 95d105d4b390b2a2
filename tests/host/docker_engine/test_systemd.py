"""Where Docker leaves control groups to systemd: what holds after systemd has written its own idea of them again."""

from __future__ import annotations

import os
import subprocess

import pytest

from gpulease_host.engine import Order
from tests.host.docker_engine.bench import GROUP_ROOT, MIB, Bench, client_of
from tests.host.docker_engine.private_docker import PrivateDocker

pytestmark = pytest.mark.docker
WEIGHTS = {"cpu.weight": "250", "memory.low": str(100 * MIB), "memory.max": str(400 * MIB), "pids.max": "64"}


@pytest.fixture(autouse=True)
def needs_systemd(docker_host: str) -> None:
    info = client_of(docker_host).info()
    if info["CgroupDriver"] != "systemd" or info["CgroupVersion"] != "2":
        pytest.skip("Docker here keeps control groups itself")


@pytest.mark.parametrize("command", ["daemon-reload", "daemon-reexec"])
def test_shares_and_the_slice_are_what_they_were_after(bench: Bench, command: str) -> None:
    order = bench.run("sleep", "600")
    before = _slice(bench)
    assert _share(bench, order) == WEIGHTS
    _systemctl(command)
    assert (_share(bench, order), _slice(bench)) == (WEIGHTS, before)
    bench.run("sleep", "600", gpu=1)  # systemd writes the groups beside a new one again, too
    assert (_share(bench, order), _slice(bench)) == (WEIGHTS, before)
    bench.engine.hold({order.instance_id: order.limits})


def test_a_weight_is_systemds_own_so_that_it_comes_back_by_itself(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    assert _systemctl("show", "-P", "CPUWeight", _unit(bench, order)) == "250"


def test_a_slice_that_is_set_by_another_hand_is_put_right_with_its_container_alive(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    before = _slice(bench)
    _systemctl("set-property", "--runtime", bench.group, "CPUWeight=50", f"MemoryMax={64 * MIB}", "MemoryLow=0")
    assert _slice(bench) != before
    bench.engine.hold({order.instance_id: order.limits})
    assert _slice(bench) == before
    _systemctl("daemon-reload")
    assert _slice(bench) == before
    assert bench.seen(order).status == "running"


def test_the_slice_stands_at_the_root_whatever_it_is_called(bench: Bench) -> None:
    bench.run("sleep", "600")
    rest = [path for path in GROUP_ROOT.glob("*/cpu.weight") if not path.parent.name.startswith("gpulease")]
    assert (GROUP_ROOT / bench.group).is_dir()
    assert int(_slice(bench)["cpu.weight"]) >= min(10_000, 10 * sum(int(file.read_text()) for file in rest))


def test_a_container_is_left_out_by_systemd_oomd(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    assert os.getxattr(GROUP_ROOT / bench.group_of(order), "user.oomd_omit") == b"1"


def test_shares_outlast_a_docker_that_is_stopped_and_started(private_docker: PrivateDocker) -> None:
    bench = private_docker.bench
    order = bench.run("sleep", "600")
    processes, before = bench.pids(order), _slice(bench)
    private_docker.stop()
    _systemctl("daemon-reload")
    bench.engine.hold({order.instance_id: order.limits})
    private_docker.start()
    assert (bench.pids(order), _share(bench, order), _slice(bench)) == (processes, WEIGHTS, before)
    bench.engine.stop(order.instance_id, grace_s=0)
    bench.start(order, "sleep", "600")
    assert _share(bench, order) == WEIGHTS


def _share(bench: Bench, order: Order) -> dict[str, str]:
    return {file: (GROUP_ROOT / bench.group_of(order) / file).read_text().strip() for file in WEIGHTS}


def _slice(bench: Bench) -> dict[str, str]:
    files = ("cpu.weight", "io.weight", "memory.low", "memory.max", "pids.max")
    return {file: (GROUP_ROOT / bench.group / file).read_text().strip() for file in files}


def _unit(bench: Bench, order: Order) -> str:
    return f"docker-{bench.docker_id(order)}.scope"


def _systemctl(*arguments: str) -> str:
    return subprocess.run(["systemctl", *arguments], check=True, capture_output=True, text=True).stdout.strip()
