"""A real daemon process, killed with -9 at random moments: what is wanted is what is, in the end."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.accept import AcceptError, ask
from gpulease_host.engine import Order
from gpulease_host.machine_key import MachineKey
from gpulease_host.wire import order_to_wire
from tests.host.http_api import HttpApi, serving
from tests.host.orders import HOST_ID, order

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


@dataclass
class Process:
    """The daemon process on its folder, and the API it asks."""

    folder: Path
    api: HttpApi
    run_id: str = "run-1"
    running: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    accepted: list[Order] = field(default_factory=list)

    def start(self) -> None:
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'host'}", "PATH": os.environ["PATH"], **self.environment}
        with (self.folder / "log").open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "tests.host.file_engine", str(self.folder), self.api.url, self.run_id],
                cwd=ROOT, env=environment, stderr=log,
            )  # fmt: skip
        self.wait(lambda: self.status() is not None, "answer")

    def kill(self) -> None:
        assert self.running is not None
        self.running.send_signal(signal.SIGKILL)
        self.running.wait()

    def give(self, wanted: Order) -> None:
        """As the control plane does: its state first, then the command."""
        self.api.orders[wanted.instance_id] = wanted
        body = {"v": 1, "host_id": HOST_ID, "not_after": int(time.time()) + 120, "orders": [order_to_wire(wanted)]}
        encoded = base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()
        assert json.loads(ask(str(self.folder), f"accept {encoded}"))["accepted"] == [wanted.instance_id]

    def status(self) -> Any:
        try:
            return json.loads(ask(str(self.folder), "status"))["state"]
        except AcceptError:
            return None

    def instance(self, instance_id: int) -> dict[str, Any]:
        found = [each for each in self.status()["instances"] if each["instance_id"] == instance_id]
        return found[0] if found else {"status": None, "generation": 0}

    def containers(self) -> dict[int, str]:
        path = self.folder / "containers.json"
        found = json.loads(path.read_text()) if path.exists() else []
        return {each["instance_id"]: each["status"] for each in found}

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def sequence(self) -> list[int]:
        path = self.folder / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        payloads = [json.loads(line)["jws"].split(".")[1] for line in lines]
        return [json.loads(base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)))["seq"] for each in payloads]

    def wait(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came: {(self.folder / 'log').read_text()[-3000:]}"
            time.sleep(0.02)


@pytest.fixture
def process(folder: Path) -> Iterator[Process]:
    key = MachineKey.generate()
    key.save(folder / "machine.key")
    with serving(HttpApi(key)) as api:
        made = Process(folder, api)
        made.start()
        yield made
        made.kill()


def end_of_day(hours: int = 1) -> int:
    return int(time.time()) + hours * 3600


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_it_converges(process: Process, seed: int) -> None:
    chance = random.Random(seed)
    wanted: dict[int, Order] = {}
    token = 0
    for step in range(10):
        instance_id = chance.choice([11, 12, 13])
        before = wanted.get(instance_id)
        generation = 1 if before is None else before.generation + 1
        starts = before is None or before.desired == "stopped"
        token += starts
        wanted[instance_id] = order(
            instance_id, generation, "running" if starts else "stopped", token, end_of_day(), gpus=(instance_id % 10,)
        )
        process.give(wanted[instance_id])
        if chance.random() < 0.8:
            time.sleep(chance.uniform(0, 0.12))
            process.kill()
            process.start()
        if step == 5:
            process.give(wanted[instance_id])
    for each in wanted.values():
        process.wait(lambda each=each: process.instance(each.instance_id)["generation"] == each.generation, "the end")
    statuses = {each: process.instance(each)["status"] for each in wanted}
    assert statuses == {each: wanted[each].desired for each in wanted}
    running = {each for each, status in process.containers().items() if status == "running"}
    assert running == {each for each, last in wanted.items() if last.desired == "running"}
    assert not any("share a GPU" in line for line in process.calls())
    sequence = process.sequence()
    assert sequence == sorted(set(sequence))


def test_an_answered_order_survives_a_kill_in_the_same_moment(process: Process) -> None:
    process.give(order(end_at=end_of_day()))
    process.kill()
    process.start()
    process.wait(lambda: process.instance(11)["status"] == "running", "running")


def test_a_removal_cut_off_is_finished(process: Process) -> None:
    process.give(order(end_at=end_of_day()))
    process.wait(lambda: process.instance(11)["status"] == "running", "running")
    process.give(order(generation=2, desired="absent", end_at=end_of_day()))
    process.kill()
    process.start()
    process.wait(lambda: process.instance(11)["status"] == "absent", "absent")
    assert process.containers() == {}


def test_sigterm_ends_the_daemon_and_leaves_the_container_running(process: Process) -> None:
    process.give(order(end_at=end_of_day()))
    process.wait(lambda: process.instance(11)["status"] == "running", "running")
    assert process.running is not None
    process.running.terminate()
    assert process.running.wait(10) == 0
    assert process.containers() == {11: "running"}
    process.start()
    process.wait(lambda: process.instance(11)["status"] == "running", "running")
    assert len([line for line in process.calls() if " start " in line]) == 1


def test_a_second_daemon_on_the_same_folder_does_not_start(process: Process) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "tests.host.file_engine", str(process.folder), process.api.url, "run-1"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'host'}", "PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert b"Another daemon runs already" in second.stderr
    assert process.status() is not None


def test_an_end_passes_while_the_daemon_is_dead(process: Process) -> None:
    process.give(order(end_at=int(time.time()) + 2))
    process.wait(lambda: process.instance(11)["status"] == "running", "running")
    process.kill()
    time.sleep(2)
    process.start()
    process.wait(lambda: process.instance(11)["status"] == "stopped", "stopped")
    assert process.containers() == {11: "exited"}
