"""Stops, removals and ends where Docker refuses calls for one container, or hangs on them: a whole daemon on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine import docker_api
from gpulease_host.engine import Order
from tests.host.docker_engine.bench import Bench, wait_until
from tests.host.docker_engine.conftest import bench_on
from tests.host.docker_engine.faulty_docker import Fault, FaultyDocker, before
from tests.host.docker_engine.private_docker import PrivateDocker
from tests.host.docker_engine.real_rig import RealRig
from tests.host.orders import NOW

pytestmark = pytest.mark.docker
REFUSED: dict[str, Fault] = {"stop": "refuse", "kill": "refuse", "remove": "refuse"}
HANGS: dict[str, Fault] = {"stop": "hang", "kill": "hang", "remove": "hang", "json": "hang"}
HALF_HANGS: dict[str, Fault] = {"stop": "hang", "kill": "hang", "remove": "hang"}
UNSEEN: dict[str, Fault] = {"stop": "refuse", "kill": "refuse", "remove": "refuse", "json": "refuse"}
RARE = [pytest.param(HALF_HANGS, marks=pytest.mark.slow), pytest.param(UNSEEN, marks=pytest.mark.slow)]
WAIT = b'{"env": {}, "args": ["sh", "-c", "trap \'echo ended > /told; exit\' TERM; while true; do sleep 0.1; done"]}'


@dataclass
class Host:
    docker: FaultyDocker
    bench: Bench
    rig: RealRig

    def run(self, gpu: int = 0, **changes: Any) -> Order:
        order = replace(self.bench.order(gpu=gpu), end_at=NOW + 3600, delete_after=NOW + 7200, **changes)
        self.bench.made.append(order)
        self.want(order)
        assert self.told(order)["status"] == "running", self.told(order)["reason"]
        return order

    def want(self, order: Order, **changes: Any) -> Order:
        changed = replace(order, **changes)
        self.rig.api.orders = [
            *(each for each in self.rig.api.orders if each.instance_id != order.instance_id),
            changed,
        ]
        self.rig.give(changed)
        return changed

    def told(self, order: Order) -> dict[str, Any]:
        return self.rig.instance(order.instance_id)

    def gpu_status(self, index: int = 0) -> str:
        return str(self.rig.gpu(index)["status"])


@pytest.fixture
def host(private_docker: PrivateDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in ("LOOK_TIMEOUT_S", "STOP_TIMEOUT_S", "REMOVE_TIMEOUT_S"):
        monkeypatch.setattr(docker_api, name, 2)
    socket = tmp_path / "faulty.sock"
    real = private_docker.bench
    with before(real.docker_host, socket) as docker, bench_on(f"unix://{socket}", tmp_path) as bench:
        bench.client = real.client
        rig = RealRig.on(bench.engine, real.docker_host, tmp_path)
        rig.api.secrets = WAIT
        rig.look()
        yield Host(docker, bench, rig)
        docker.faults = {}
        docker.released.set()
        wait_until(lambda: docker.container not in bench.engine._api.stuck, 20)


def break_for(host: Host, order: Order, faults: dict[str, Fault]) -> None:
    host.docker.container, host.docker.faults = f"gpulease-{order.instance_id}", faults


@pytest.mark.parametrize("faults", [REFUSED, HANGS, *RARE])
def test_what_is_wanted_stopped_stops_and_its_gpu_returns(host: Host, faults: dict[str, Fault]) -> None:
    order = host.run()
    break_for(host, order, faults)
    host.want(order, generation=2, desired="stopped", token=None)
    assert host.bench.pids(order) == []
    host.rig.look()
    assert (host.told(order)["status"], host.gpu_status()) == ("stopped", "free")
    other = host.run(token=2)
    assert host.gpu_status() == "held"
    assert host.told(other)["status"] == "running"


@pytest.mark.parametrize("faults", [REFUSED, HANGS, *RARE])
def test_what_is_deleted_gives_its_gpu_back_and_is_removed_once_docker_lets_it(
    host: Host, faults: dict[str, Fault]
) -> None:
    order = host.run()
    break_for(host, order, faults)
    host.want(order, generation=2, desired="absent", token=None)
    host.rig.look()
    assert (host.told(order)["status"], host.gpu_status()) == ("stopped", "free")
    assert "not removed yet" in host.told(order)["reason"]
    host.docker.faults = {}
    host.docker.released.set()
    host.rig.look()
    host.rig.look()
    assert host.told(order)["status"] == "absent"


def test_an_end_comes_for_the_one_that_hangs_and_for_the_others(host: Host) -> None:
    order, other = host.run(), host.run(gpu=1)
    break_for(host, order, HANGS)
    host.rig.clock.now = NOW + 3601
    host.rig.look()
    assert (host.bench.pids(order), host.bench.pids(other)) == ([], [])
    assert [host.told(each)["status"] for each in (order, other)] == ["stopped", "stopped"]
    assert [host.gpu_status(index) for index in (0, 1)] == ["free", "free"]


def test_a_refused_stop_leaves_the_grace(host: Host) -> None:
    order = host.run()
    break_for(host, order, REFUSED)
    host.want(order, generation=2, desired="stopped", token=None)
    assert host.bench.client.get_archive(f"gpulease-{order.instance_id}", "/told")[1]["name"] == "told"
