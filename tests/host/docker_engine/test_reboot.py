"""What a real reboot leaves, seen from inside: run before it and after it, with GPULEASE_REBOOT_DIR on a lasting disk.

1. `test_before`
2. reboot with Docker's disk not mounted, then `test_after_a_reboot_without_dockers_disk`; may be left out
3. reboot, or mount the disk and restart Docker; then `test_after_a_reboot`
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.docker_engine import DockerEngine
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.engine import Order, OrderedGpu, Port
from gpulease_host.inventory_simulated import SimulatedGpus
from gpulease_host.machine_key import MachineKey
from gpulease_host.toolkit.store import ToolkitStore
from gpulease_host.trusted_clock import read_boot_id
from local.images import BUSYBOX
from local.toolkits import TOOLKITS
from tests.host.docker_engine.bench import MIB, SMALL, client_of, name_of, wait_until
from tests.host.docker_engine.real_rig import RealRig
from tests.host.fakes import FakeClock, PublicKey
from tests.host.orders import NOW

FOLDER = os.environ.get("GPULEASE_REBOOT_DIR")
pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="only around a reboot: GPULEASE_REBOOT_DIR"),
]
INSTANCE, HOST_OF_TEST, PORT = 471_100_001, 4711, 20_471
GPUS = SimulatedGpus(1, seed="reboot")
SCRIPT = "mkdir -p /www; hostname >> /www/index.html; exec httpd -f -p 8080 -h /www"


def state() -> Path:
    folder = Path(str(FOLDER))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def order() -> Order:
    return Order(
        contract_id=INSTANCE,
        instance_id=INSTANCE,
        generation=1,
        desired="running",
        token=1,
        end_at=NOW + 36_000,
        delete_after=NOW + 72_000,
        image=BUSYBOX,
        mode="args",
        ports=(Port(8080, "tcp", PORT),),
        gpus=(OrderedGpu(0, GPUS.gpus()[0].uuid),),
        limits=SMALL,
    )


@pytest.fixture
def rig(docker_host: str) -> Iterator[RealRig]:
    ways_in = WaysIn(state(), ToolkitStore(TOOLKITS))
    engine = DockerEngine(
        docker_host,
        HOST_OF_TEST,
        GPUS,
        ways_in,
        publish_address="127.0.0.1",
        parent_group="gpulease-reboot",
        memory_bytes=400 * MIB,
    )
    boots = state() / "boots"
    boots.open("a").write(f"{read_boot_id()}\n")
    clock = FakeClock(NOW + 600 * len(boots.read_text().split()))
    made = RealRig.on(engine, docker_host, state(), clock=clock, machine_boot=read_boot_id(), uptime_from=clock.now)
    key = MachineKey.load(made.key_path)  # of the first run
    made.api.key = PublicKey(key.signing_public, key.sealing_public)
    made.api.secrets = json.dumps({"env": {}, "args": ["sh", "-c", SCRIPT]}).encode()
    made.api.orders = [order()]
    yield made
    engine.close()


def page() -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5) as answer:
        body: bytes = answer.read()
        return body


def answers() -> bool:
    try:
        return page() != b""
    except OSError:
        return False


def test_before(rig: RealRig) -> None:
    rig.give(order())
    rig.look()
    assert rig.instance(INSTANCE)["status"] == "running", rig.instance(INSTANCE)["reason"]
    wait_until(answers, 30)
    (state() / "page").write_bytes(page())


def test_after_a_reboot_without_dockers_disk(rig: RealRig) -> None:
    rig.look()
    told = rig.instance(INSTANCE)
    assert told["status"] == "loading"
    assert "came up without its data" in told["reason"]
    assert client_of(rig.docker_host).containers(all=True, filters={"name": name_of(order())}) == []


def test_after_a_reboot(rig: RealRig) -> None:
    boots = (state() / "boots").read_text().split()
    assert boots[0] != read_boot_id(), "this machine was not rebooted"
    rig.look()
    assert rig.instance(INSTANCE)["status"] == "running", rig.instance(INSTANCE)["reason"]
    wait_until(answers, 30)
    assert page() == 2 * (state() / "page").read_bytes(), "the same disk, at the same port, started once more"
    rig.give(replace(order(), generation=2, desired="absent", token=None))
    rig.look()
    assert rig.instance(INSTANCE)["status"] == "absent"
