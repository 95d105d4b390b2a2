"""A later version is deployed over a service in use: `make up` after `git pull`, with contracts of every kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local import supervise
from local.client import Client, wait_until
from local.demo.readings import read_limits
from local.leftovers import remove_containers
from local.ports import free_port
from local.site import LOCAL, Running, Site, release_docker
from tests.e2e.another_version import NEW_STATE, SETTING, VERSION, write_another_version
from tests.e2e.calling import list_all, reader, writer
from tests.e2e.conftest import end_all
from tests.e2e.renting import offer_of, rent, request_for, show, wait_for, wait_for_instance

GRACE_S = 20
SHORT_S = 35
"""Long enough to outlast the upgrade, short enough to wait for."""


@pytest.fixture
def own_site() -> Iterator[Site]:
    made = Site(LOCAL / "test-upgrade", free_port(), GRACE_S, heartbeat_s=5)
    made.stop()
    shutil.rmtree(made.state, ignore_errors=True)
    yield made
    made.stop()


@pytest.fixture
def before(own_site: Site) -> Iterator[Running]:
    started = own_site.start()
    yield started
    end_all(started)
    own_site.stop()
    remove_containers(own_site.state, started.docker_host)
    release_docker()


@dataclass(frozen=True)
class Contracts:
    """One of each kind."""

    holder: dict[str, Any]
    waiting: dict[str, Any]
    stopped: dict[str, Any]
    short: dict[str, Any]
    expired: dict[str, Any]
    pending: dict[str, Any]


@pytest.mark.slow
def test_an_upgrade_happens_under_contracts_of_every_kind_and_loses_nothing(
    own_site: Site, before: Running, tmp_path: Path
) -> None:
    later = replace(own_site, sources=write_another_version(tmp_path))
    later.assembly()  # takes seconds, and is kept
    contracts = open_one_of_each(before, own_site)
    pids = pids_of(before, contracts.holder, contracts.short)
    administrator = Client(before.cloud.front_url, before.credentials.admin_key)
    callers = reader(before.client, f"/v1/contracts/{contracts.short['id']}"), writer(administrator)
    for each in callers:
        each.start()

    after = later.start()

    assert is_of_version(after, VERSION)
    assert (after.cloud, after.credentials) == (before.cloud, before.credentials)
    assert pids_of(before, contracts.holder, contracts.short) == pids
    wait_for(before, contracts.pending, "active")
    for each in callers:
        each.stop()
        assert each.answered
        assert not each.given_up
    everything_goes_on(before, contracts)
    kept = {each["name"] for each in list_all(administrator, "/v1/accounts")}
    assert kept >= {f"account-{number}" for number in callers[1].answered}
    executions_keep_their_definition(before, contracts)

    pids = pids_of(before, contracts.waiting)
    older = make_older(own_site, "daemon")
    own_site.start()
    assert is_of_version(before, None)
    daemon = supervise.running("daemon", state=own_site.state)
    assert daemon is not None
    assert daemon.pid != older
    assert pids_of(before, contracts.waiting) == pids


def open_one_of_each(running: Running, site: Site) -> Contracts:
    """The last one stays pending: the host's daemon is away."""
    first = rent_stopped(running)
    holder = rent(running)
    waiting = running.client.post(f"/v1/contracts/{first['id']}/start")
    stopped = rent_stopped(running)
    short = rent(running, duration_s=SHORT_S)
    expired = wait_for(running, rent(running, duration_s=4), "expired")
    supervise.stop("daemon", state=site.state)
    pending = running.client.post("/v1/contracts", request_for(offer_of(running.client)))
    wait_until(lambda: states_of(running, pending), lambda seen: "provision" in seen, "The wait for the host")
    return Contracts(holder, waiting, stopped, short, expired, pending)


def everything_goes_on(running: Running, contracts: Contracts) -> None:
    """What each was waiting for still comes."""
    assert show(running, contracts.waiting)["instances"][0]["status"] == "scheduling"
    assert show(running, contracts.stopped)["instances"][0]["status"] == "stopped"
    assert show(running, contracts.expired)["status"] == "expired"
    running.client.post(f"/v1/contracts/{contracts.stopped['id']}/start")
    running.client.delete(f"/v1/contracts/{contracts.holder['id']}")
    wait_for_instance(running, contracts.waiting, "running")
    wait_for_instance(running, contracts.stopped, "running")
    wait_for(running, contracts.short, "expired", SHORT_S + 20)
    wait_for(running, contracts.expired, "deleted")


def executions_keep_their_definition(running: Running, contracts: Contracts) -> None:
    """They began before the upgrade, and were answered by the code after it. A new run takes the new definition."""
    for contract in (contracts.short, contracts.expired, contracts.pending):
        assert NEW_STATE not in states_of(running, contract)
    assert answer_to(running, contracts.short, "expire")["version"] == VERSION
    assert NEW_STATE in states_of(running, contracts.holder, run=2)


def make_older(site: Site, name: str) -> int:
    """Have it look as if this process had been started from other code; its pid."""
    process = supervise.running(name, state=site.state)
    assert process is not None
    path = site.state / f"{name}.pid"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "older"}))
    return process.pid


def pids_of(running: Running, *contracts: dict[str, Any]) -> list[int]:
    return [read_limits(running.docker_host, contract["id"]).pid for contract in contracts]


def rent_stopped(running: Running) -> dict[str, Any]:
    contract = rent(running)
    running.client.post(f"/v1/contracts/{contract['id']}/stop")
    return wait_for_instance(running, contract, "stopped")


def is_of_version(running: Running, version: str | None) -> bool:
    """All that a deployment can change says so: code, settings, state machine, command document."""
    cloud = running.cloud
    code = requests.get(f"{cloud.front_url}/v1/health", timeout=30).headers.get("x-version")
    functions = cloud.client("lambda").list_functions()["Functions"]
    told = [each["Environment"]["Variables"] for each in functions]
    is_told = all(SETTING.items() <= variables.items() for variables in told)
    machine = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=cloud.outputs["StateMachineArn"])
    document = cloud.client("ssm").get_document(Name=cloud.outputs["CommandDocumentName"])
    said = json.loads(document["Content"])["description"] == f"Version {version}."
    changed = (is_told, NEW_STATE in json.loads(machine["definition"])["States"], said)
    assert len(set(changed)) == 1, changed
    return code == version and changed[0] == (version is not None)


def history(running: Running, contract: dict[str, Any], run: int) -> list[dict[str, Any]]:
    execution = running.cloud.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:")
    arn = f"{execution}:c{contract['id']}-{run}"
    client = running.cloud.client("stepfunctions")
    events: list[dict[str, Any]] = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    return events


def states_of(running: Running, contract: dict[str, Any], run: int = 1) -> list[str]:
    """The states that an execution has entered."""
    events = history(running, contract, run)
    return [each["stateEnteredEventDetails"]["name"] for each in events if "stateEnteredEventDetails" in each]


def answer_to(running: Running, contract: dict[str, Any], step: str, run: int = 1) -> dict[str, Any]:
    """What the execution left a state with."""
    details = [each.get("stateExitedEventDetails", {}) for each in history(running, contract, run)]
    answer: dict[str, Any] = next(json.loads(each["output"]) for each in details if each.get("name") == step)
    return answer
