"""Faults of a host as a whole: Docker restarts, power is lost, the journal is damaged, nobody answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from local.client import wait_until
from local.demo.readings import read_limits
from tests.e2e.faults.phases import read_kept, rent, show
from tests.e2e.faults.site import FaultSite

pytestmark = pytest.mark.slow

TOO_MUCH = 1100 << 20
"""A contract of these tests has 1 GiB of disk."""


def test_docker_restarts_and_containers_run_on_with_their_limits_and_their_events(faulty: FaultSite) -> None:
    contract = rent(faulty)
    before = read_limits(faulty.running.docker_host, contract["id"])
    faulty.stop_docker()
    faulty.bring_back()
    faulty.come_to_rest(time.time())
    assert read_limits(faulty.running.docker_host, contract["id"]) == before
    assert refuses_more_disk(faulty, contract)
    run_in(faulty, contract, ["kill", "-TERM", "1"])
    wait_for_instance(faulty, contract, "exited")


def test_docker_restarts_without_live_restore_and_what_ran_starts_again_once_the_host_has_asked(
    faulty: FaultSite,
) -> None:
    contract = rent(faulty)
    before, file = read_limits(faulty.running.docker_host, contract["id"]), read_kept(faulty, contract)
    faulty.stop_docker()  # it still had live-restore
    faulty.start_docker(live_restore=False)
    faulty.come_to_rest(time.time())
    again = read_limits(faulty.running.docker_host, contract["id"])
    assert again.pid != before.pid
    assert replace(again, pid=before.pid) == before
    assert (read_kept(faulty, contract), refuses_more_disk(faulty, contract)) == (file, True)
    faulty.stop_docker()
    faulty.bring_back()
    faulty.come_to_rest(time.time())
    assert read_limits(faulty.running.docker_host, contract["id"]).pid != again.pid
    assert show(faulty, contract)["instances"][0]["generation"] == 1
    assert asked_before_it_ran(faulty, contract)


def test_after_a_loss_of_power_what_holds_time_starts_again_and_what_has_expired_does_not(faulty: FaultSite) -> None:
    running, stopped, expiring = rent(faulty), rent(faulty), rent(faulty, duration_s=8)
    faulty.request("POST", f"/v1/contracts/{stopped['id']}/stop").result()
    wait_for_instance(faulty, stopped, "stopped")
    files = [read_kept(faulty, each) for each in (running, stopped, expiring)]
    faulty.lose_power()
    time.sleep(max(0.0, expiring["end_at"] - time.time()))
    faulty.bring_back()
    faulty.come_to_rest(time.time())
    found = [show(faulty, each) for each in (running, stopped, expiring)]
    statuses = [(each["status"], each["instances"][0]["status"]) for each in found]
    assert statuses[:2] == [("active", "running"), ("active", "stopped")]
    assert statuses[2] == ("expired", "stopped") or time.time() >= expiring["delete_after"]
    kept = [each for each in found if each["status"] != "deleted"]
    assert [read_kept(faulty, each) for each in kept] == files[: len(kept)]
    assert asked_before_it_ran(faulty, running)


@pytest.mark.parametrize("damage", ["lost", "damaged"])
def test_with_its_journal_gone_a_host_leaves_alone_what_runs_and_then_obeys_again(
    faulty: FaultSite, damage: str
) -> None:
    contract = rent(faulty)
    process = read_limits(faulty.running.docker_host, contract["id"]).pid
    faulty.kill("daemon")
    damage_journal(faulty.site.state / "host" / "journal", damage)
    faulty.bring_back()
    faulty.come_to_rest(time.time())
    assert read_limits(faulty.running.docker_host, contract["id"]).pid == process
    assert list((faulty.site.state / "host").glob("journal.lost-*")) or damage == "lost"
    faulty.request("POST", f"/v1/contracts/{contract['id']}/stop").result()
    wait_for_instance(faulty, contract, "stopped")


def test_cut_off_and_with_its_daemon_killed_a_host_stops_at_the_end_and_starts_nothing_after_it(
    faulty: FaultSite,
) -> None:
    contract, waiting = rent(faulty, duration_s=8), rent(faulty)
    faulty.kill("cloud")
    faulty.kill("daemon")
    faulty.start_daemon()
    assert is_running(faulty, contract)
    wait_until(lambda: is_running(faulty, contract), lambda runs: not runs, "the stop at the end", 30)
    assert time.time() >= contract["end_at"]
    faulty.kill("daemon")
    faulty.start_daemon()
    time.sleep(2)
    assert (is_running(faulty, contract), is_running(faulty, waiting)) == (False, True)
    faulty.bring_back()
    faulty.come_to_rest(time.time())
    assert show(faulty, contract)["status"] in ("expired", "deleting", "deleted")


def test_a_contract_that_ends_while_docker_is_away_is_stopped_without_it(faulty: FaultSite) -> None:
    contract = rent(faulty, duration_s=8)
    process = Path(f"/proc/{read_limits(faulty.running.docker_host, contract['id']).pid}")
    faulty.kill("dockerd")
    wait_until(process.exists, lambda lives: not lives, "the end of its process", 68)
    assert contract["end_at"] <= time.time() < contract["end_at"] + 60
    faulty.bring_back()
    faulty.come_to_rest(time.time())


def wait_for_instance(faulty: FaultSite, contract: dict[str, Any], status: str) -> None:
    read: Callable[[], Any] = lambda: show(faulty, contract)["instances"][0]  # noqa: E731
    wait_until(read, lambda seen: seen["status"] == status, f"instance {status}", 30)


def is_running(faulty: FaultSite, contract: dict[str, Any]) -> bool:
    client = docker.APIClient(base_url=faulty.running.docker_host)
    return bool(client.inspect_container(f"gpulease-{contract['id']}")["State"]["Running"])


def run_in(faulty: FaultSite, contract: dict[str, Any], command: list[str]) -> int:
    """Run a command in the container; its exit status."""
    client = docker.APIClient(base_url=faulty.running.docker_host)
    made = client.exec_create(f"gpulease-{contract['id']}", command)
    client.exec_start(made["Id"])
    return int(client.exec_inspect(made["Id"])["ExitCode"])


def refuses_more_disk(faulty: FaultSite, contract: dict[str, Any]) -> bool:
    """Whether the file system holds the container to its allocation now."""
    status = run_in(faulty, contract, ["fallocate", "-l", str(TOO_MUCH), "/too-much"])
    run_in(faulty, contract, ["rm", "-f", "/too-much"])
    return status != 0


def asked_before_it_ran(faulty: FaultSite, contract: dict[str, Any]) -> bool:
    """Whether, when the daemon last said that it runs, it had fetched the manifest since it last said anything of it.

    Where the manifest came before the daemon looked at its containers again, it had nothing to say meanwhile.
    """
    lines = [
        json.loads(line) for line in (faulty.site.state / "daemon.log").read_text().splitlines() if line[:1] == "{"
    ]
    told = [
        each.get("status", "asked")
        for each in lines
        if each["event"] == "manifest fetched" or (each.get("instance_id") == contract["id"] and "status" in each)
    ]
    last = len(told) - 1 - told[::-1].index("running")
    return last > 0 and told[last - 1] == "asked"


def damage_journal(path: Path, damage: str) -> None:
    if damage == "lost":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
