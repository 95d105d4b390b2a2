"""After the guest was rebooted, once test_reboot_before.py has passed: what holds lease and time is back by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.inside import machine
from tests.vm.inside.machine import CONTAINER, UNIT, paste, run, show, state_of, wait_for
from tests.vm.inside.service import Service, serving

pytestmark = [
    pytest.mark.skipif(
        "GPULEASE_IN_GUEST" not in os.environ or not Path("/run/systemd/system").is_dir(), reason="needs systemd"
    ),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(Service()) as made:
        made.recall()
        yield made


def test_the_daemon_came_up_by_itself_after_docker(service: Service) -> None:
    wait_for(lambda: "yes" in run("gpulease-host status >/dev/null && echo yes", check=False), "The daemon")
    started = {unit: int(show("ActiveEnterTimestampMonotonic", unit)) for unit in ("docker", UNIT)}
    assert started["docker"] < started[UNIT]
    assert show("Result") == "success"


def test_what_still_holds_lease_and_time_runs_again(service: Service) -> None:
    before = (machine.WORK / "running").read_text()
    wait_for(lambda: state_of(CONTAINER).startswith("true"), "The start after the reboot")
    assert state_of(CONTAINER) != before


def test_the_machine_leaves(service: Service) -> None:
    assert "GPULease is gone" in paste("--uninstall --lose-data")
    assert not machine.things_of_docker()["containers"]
