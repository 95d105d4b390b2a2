"""A real daemon process whose clock is set under it, by libfaketime; Docker and the service have the right time."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.machine_key import MachineKey
from tests.host.http_api import HttpApi, serving
from tests.host.orders import order
from tests.host.test_kill import Process

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not LIBRARIES, reason="Debian's package `faketime` is not here")]


class Clock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.set("+0")

    def set(self, offset: str) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_text(f"{offset}\n")
        beside.replace(self._path)

    def environment(self) -> dict[str, str]:
        given = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME_TIMESTAMP_FILE": str(self._path)}
        return given | {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "faketime")


@pytest.fixture
def process(folder: Path, clock: Clock) -> Iterator[Process]:
    key = MachineKey.generate()
    key.save(folder / "machine.key")
    with serving(HttpApi(key)) as api:
        made = Process(folder, api, environment=clock.environment())
        made.start()
        yield made
        made.kill()


def run(process: Process, seconds: int) -> None:
    process.give(order(end_at=int(time.time()) + seconds))
    process.wait(lambda: process.instance(11)["status"] == "running", "running")


def stops(process: Process) -> list[str]:
    return [line for line in process.calls() if " stop " in line or " kill " in line]


def last_report(process: Process) -> dict[str, Any]:
    payload = json.loads((process.folder / "events").read_text().splitlines()[-1])["jws"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_three_days_ahead_for_six_seconds_ends_nothing(process: Process, clock: Clock) -> None:
    run(process, 7200)
    clock.set("+3d")
    time.sleep(6)
    clock.set("+0")
    time.sleep(2)
    assert process.containers() == {11: "running"}
    assert stops(process) == []


def test_ten_minutes_ahead_orders_are_taken_and_reports_are_of_now(process: Process, clock: Clock) -> None:
    clock.set("+10m")
    process.kill()
    process.start()
    run(process, 7200)
    process.wait(lambda: abs(last_report(process)["sent_at"] - time.time()) < 60, "a report of now")


def test_an_hour_behind_it_ends_in_time(process: Process, clock: Clock) -> None:
    run(process, 12)
    clock.set("-1h")
    process.wait(lambda: process.containers() == {11: "exited"}, "the end")
