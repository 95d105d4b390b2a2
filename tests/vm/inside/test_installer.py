"""The installer on a machine with systemd: it joins, keeps containers through whatever restarts, and leaves no trace.

The tests go on where the one before has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.inside import machine
from tests.vm.inside.machine import CONTAINER, UNIT, paste, run, show, state_of, wait_for
from tests.vm.inside.package_source import build_source
from tests.vm.inside.service import Service, serving

pytestmark = [
    pytest.mark.skipif(
        "GPULEASE_IN_GUEST" not in os.environ or not Path("/run/systemd/system").is_dir(), reason="needs systemd"
    ),
    pytest.mark.timeout(1800),
]
HELD_S = 20
LOCK = Path("/var/lib/dpkg/lock-frontend")
"""As unattended upgrades hold it."""
DAEMON_JSON = Path("/etc/docker/daemon.json")
STAYS = {
    "running": {"amazon-ssm-agent.service"},
    "units": {"amazon-ssm-agent.service"},
    "ipv6 rules": {":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"},
}
"""By which words a difference is known that may stay: the agent that was here before is off, and the kernel has the
chains, empty and open, of a table that nobody had looked into before."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(Service()) as made:
        yield made


@pytest.fixture(scope="module")
def before(service: Service) -> Iterator[dict[str, set[str]]]:
    """The machine without patchelf, with a file of Docker's settings that is the owner's."""
    machine.prepare()
    DAEMON_JSON.parent.mkdir(exist_ok=True)
    DAEMON_JSON.write_text('{ "log-level": "info" }')
    DAEMON_JSON.chmod(0o640)
    config = build_source("patchelf", "/usr/bin/patchelf", machine.WORK)
    run("dpkg -r patchelf")
    yield machine.snapshot() | {"apt": {config}}
    run(f"command -v patchelf || dpkg -i {machine.WORK}/patchelf.deb")


def install(before: dict[str, set[str]], options: str = "") -> str:
    (config,) = before["apt"]
    return paste(options, APT_CONFIG=config)


def test_it_waits_for_unattended_upgrades_and_joins(service: Service, before: dict[str, set[str]]) -> None:
    (config,) = before["apt"]
    with LOCK.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        said = ""
        for line in machine.pasting(machine.JOINING, APT_CONFIG=config):
            said += line
            if "Waiting until another program" in line:
                time.sleep(HELD_S)
                fcntl.lockf(file, fcntl.LOCK_UN)
    assert f"held by process {os.getpid()}" in said
    assert "Done: this machine is host" in said
    assert json.loads(DAEMON_JSON.read_text()) == {"log-level": "info", "live-restore": True}
    assert oct(DAEMON_JSON.stat().st_mode & 0o7777) == "0o640"
    assert (show("ActiveState"), run(f"systemctl is-enabled {UNIT}")) == ("active", "enabled")
    assert Path("/var/lib/gpulease/packages").read_text().split() == ["patchelf"]


def test_the_unit_is_understood_and_never_given_up() -> None:
    assert "ignoring" not in run(f"systemd-analyze verify /etc/systemd/system/{UNIT}.service", check=False) or (
        int(run("systemctl --version").split()[1]) < 254
    )
    assert (show("StartLimitIntervalUSec"), show("Restart"), show("KillMode")) == ("0", "always", "mixed")
    assert "docker.service" in show("After").split()


def test_the_same_line_again_changes_nothing(service: Service, before: dict[str, set[str]]) -> None:
    pid = show("MainPID")
    assert "is installed" in install(before, machine.JOINING)
    assert show("MainPID") == pid


def test_an_instance_runs(service: Service) -> None:
    service.want_instance()
    run("systemctl restart gpulease-host")
    wait_for(lambda: state_of(CONTAINER).startswith("true"), "The start of an instance")


def test_it_runs_on_while_the_daemon_is_restarted_killed_stopped_and_updated(
    service: Service, before: dict[str, set[str]]
) -> None:
    running = state_of(CONTAINER)
    pid = show("MainPID")
    run(f"systemctl kill -s KILL {UNIT}")
    wait_for(lambda: show("ActiveState") == "active" and show("MainPID") not in ("0", pid), "A restart after a crash")
    began = time.monotonic()
    run(f"systemctl stop {UNIT}")
    assert time.monotonic() - began < 30
    assert show("Result") == "success"
    run(f"systemctl start {UNIT}")
    service.release()
    assert "Program: installing" in install(before)
    assert state_of(CONTAINER) == running


def test_it_runs_on_while_docker_is_restarted(service: Service) -> None:
    running, pid = state_of(CONTAINER), show("MainPID")
    run("systemctl restart docker")
    wait_for(lambda: state_of(CONTAINER) == running, "Docker's start")
    run("gpulease-host status >/dev/null")
    assert show("MainPID") == pid


def test_a_disk_that_comes_late_is_waited_for(service: Service, before: dict[str, set[str]]) -> None:
    running, state, disk = state_of(CONTAINER), "/var/lib/gpulease", "/srv/late"
    run(f"systemctl stop {UNIT} && mv {state} {disk} && mkdir {state} && mount --bind {disk} {state}")
    install(before)
    run(f"systemctl stop {UNIT} && umount {state}")
    run(f"systemctl start {UNIT}", check=False)
    wait_for(lambda: int(show("NRestarts")) >= 2, "Trying again")
    run(f"mount --bind {disk} {state}")
    wait_for(
        lambda: "daemon runs" in run("gpulease-host status >/dev/null && echo daemon runs", check=False), "A start"
    )
    run(f"systemctl stop {UNIT} && umount {state} && rmdir {state} && mv {disk} {state}")
    install(before)
    assert "ExecStartPre" not in Path(f"/etc/systemd/system/{UNIT}.service").read_text()
    assert state_of(CONTAINER) == running


def test_leaving_is_refused_while_somebodys_data_is_here(before: dict[str, set[str]]) -> None:
    running = state_of(CONTAINER)
    said = paste("--uninstall", check=False)
    assert "instance 11 of contract 11: running" in said
    assert "is a host still" in said
    assert (state_of(CONTAINER), show("ActiveState")) == (running, "active")


def test_a_machine_that_has_left_is_as_it_was(service: Service, before: dict[str, set[str]]) -> None:
    said = paste("--uninstall --lose-data --with-packages")
    assert "Done: GPULease is gone from this machine." in said
    assert "nothing of GPULease is here" in paste("--uninstall")
    after = machine.snapshot()
    left = {
        (name, line)
        for name in after
        for line in after[name] ^ before[name]
        if not any(word in line for word in STAYS.get(name, ()))
    }
    assert not left
    assert DAEMON_JSON.read_text() == '{ "log-level": "info" }'
