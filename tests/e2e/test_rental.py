"""The life of a contract as its client and the host's owner see it."""

from __future__ import annotations

import time

import docker
import pytest

from local.client import ApiError
from local.demo.readings import is_alive, read_limits
from local.site import Running
from tests.e2e.conftest import GRACE_S, wait_for_empty_host
from tests.e2e.renting import offer_of, rent, request_for, show, wait_for, wait_for_instance
from tests.fakes.planting import plant

MIB = 1 << 20


def test_one_gpu_of_four_gets_a_quarter_and_no_cpu_cap(running: Running) -> None:
    contract = rent(running)
    share = contract["share"]
    read = read_limits(running.docker_host, contract["id"])
    assert share["gpus"] == "1/4"
    assert share["cpu_weight_permille"] == 250
    assert abs(share["memory_baseline_bytes"] * 4 - share["memory_limit_bytes"]) <= 4
    assert read.memory_baseline == share["memory_baseline_bytes"] // 4096 * 4096
    assert read.cpu_cap == "none"
    assert abs(read.shm_bytes - share["shm_bytes"]) <= MIB
    assert read.pids == share["pids"]


def test_a_stopped_instance_holds_no_gpu_but_its_disk(running: Running) -> None:
    contract = rent(running)
    process = read_limits(running.docker_host, contract["id"]).pid
    held = running.owner.get(f"/v1/hosts/{running.host_id}")
    running.client.post(f"/v1/contracts/{contract['id']}/stop")
    wait_for_instance(running, contract, "stopped")
    after = running.owner.get(f"/v1/hosts/{running.host_id}")
    assert not is_alive(process)
    assert held["gpus_held_by"]
    assert not after["gpus_held_by"]
    assert after["disk_free_bytes"] == held["disk_free_bytes"]
    running.client.post(f"/v1/contracts/{contract['id']}/start")
    assert wait_for_instance(running, contract, "running")["instances"][0]["generation"] == 3


def test_start_waits_in_line_while_another_contract_has_the_gpus(running: Running) -> None:
    first = rent(running, num_gpus=4)
    running.client.post(f"/v1/contracts/{first['id']}/stop")
    wait_for_instance(running, first, "stopped")
    second = rent(running, num_gpus=4)
    queued = running.client.post(f"/v1/contracts/{first['id']}/start")
    assert queued["instances"][0]["status"] == "scheduling"
    assert not running.client.get("/v1/offers")["items"]
    running.client.delete(f"/v1/contracts/{second['id']}")
    wait_for_instance(running, first, "running")


def test_two_instances_split_the_contract_evenly(running: Running) -> None:
    contract = rent(running, num_gpus=2, instances=2)
    assert [each["gpu_indexes"] for each in contract["instances"]] == [[0], [1]]
    seen = {read_limits(running.docker_host, each["id"]).gpus for each in contract["instances"]}
    assert seen == {gpu["uuid"] for gpu in contract["gpus"]}


@pytest.mark.parametrize(("code", "reason"), [(0, "done"), (3, "error")])
def test_a_container_that_exits_by_itself_shows_why(running: Running, code: int, reason: str) -> None:
    contract = rent(running, args=["sh", "-c", f"sleep 0.5; exit {code}"])
    exited = wait_for_instance(running, contract, "exited")["instances"][0]
    assert (exited["exit_code"], exited["reason"], exited["desired"]) == (code, reason, "stopped")


def test_expiry_extension_within_the_grace_and_deletion(running: Running) -> None:
    contract = rent(running, duration_s=5)
    wait_for(running, contract, "expired")
    wait_for_instance(running, contract, "stopped")
    with pytest.raises(ApiError, match="409 contract_expired"):
        running.client.post(f"/v1/contracts/{contract['id']}/start")
    end_at = int(time.time()) + 6
    extended = running.owner.post(f"/v1/contracts/{contract['id']}/extend", {"end_at": end_at})
    assert (extended["status"], extended["instances"][0]["status"]) == ("active", "stopped")
    assert extended["delete_after"] == end_at + GRACE_S
    running.client.post(f"/v1/contracts/{contract['id']}/start")
    wait_for_instance(running, contract, "running")
    deleted = wait_for(running, contract, "deleted")
    assert time.time() >= deleted["delete_after"] == end_at + GRACE_S
    wait_for_empty_host(running)


def test_an_image_that_is_not_to_be_had_fails_the_contract_and_returns_everything(running: Running) -> None:
    body = request_for(offer_of(running.client), image="gpulease/not-there:1")
    failed = wait_for(running, running.client.post("/v1/contracts", body), "failed")
    assert "not-there" in failed["reason"]
    wait_for_empty_host(running)


def test_secrets_reach_the_container_and_nothing_else(running: Running, engine: docker.DockerClient) -> None:
    token = plant("token")
    contract = rent(running, env={"TOKEN": token}, args=["sh", "-c", "echo got $TOKEN; sleep 600"])
    assert contract["env_keys"] == ["TOKEN"]
    assert token not in str(show(running, contract))
    assert engine.containers.get(f"gpulease-{contract['id']}").logs().decode() == f"got {token}\n"


def test_a_repeated_request_makes_one_contract(running: Running) -> None:
    body = request_for(offer_of(running.client))
    headers = {"Idempotency-Key": f"once-{time.time()}"}
    first = running.client.post("/v1/contracts", body, **headers)
    assert running.client.post("/v1/contracts", body, **headers)["id"] == first["id"]
    with pytest.raises(ApiError, match="422 idempotency_mismatch"):
        running.client.post("/v1/contracts", body | {"label": "other"}, **headers)
    wait_for(running, first, "active")
