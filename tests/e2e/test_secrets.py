"""Secrets of every kind go through a whole life of a contract, and are left nowhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from secrets import token_hex
from typing import Any

import docker
import pytest

from local.client import ApiError, Client
from local.demo.readings import read_limits
from local.site import Running, Site
from tests.e2e.conftest import end_all
from tests.e2e.renting import OBEDIENT, offer_of, request_for, wait_for, wait_for_instance
from tests.e2e.watching import Watch, look_clean
from tests.fakes.planting import plant

ODD = "\"'\\\n\t$(id) ü&=/ %41"


def everything_secret() -> dict[str, Any]:
    """What a client may send in confidence, with what escapes itself."""
    return {
        "env": {"TOKEN": plant("env", ODD), "EMPTY": ""},
        "entrypoint": [*OBEDIENT, plant("entrypoint", ODD)],
        "args": [plant("args", ODD)],
        "login": {"username": plant("user"), "password": plant("password", ODD)},
    }


def test_secrets_of_a_contract_are_in_its_container_and_nowhere_else(
    running: Running, site: Site, watch: Watch, engine: docker.DockerClient
) -> None:
    secret = everything_secret()
    body = request_for(offer_of(running.client), **secret)
    contract = running.client.post("/v1/contracts", body, **{"Idempotency-Key": plant("once")})
    wait_for(running, contract, "active")
    process = read_limits(running.docker_host, contract["id"]).pid
    seen = b"".join(Path(f"/proc/{process}", name).read_bytes() for name in ("cmdline", "environ"))
    for text in (secret["env"]["TOKEN"], secret["entrypoint"][-1], secret["args"][0]):
        assert text.encode() in seen
    running.client.post(f"/v1/contracts/{contract['id']}/reboot")
    wait_for_instance(running, contract, "running")
    running.client.post(f"/v1/contracts/{contract['id']}/stop")
    wait_for_instance(running, contract, "stopped")
    assert plant_is_kept(engine, contract["id"], secret["args"][0])
    end_all(running)
    look_clean(watch, running, site)


@pytest.mark.slow
def test_secrets_of_a_start_that_fails_are_not_told(running: Running, site: Site, watch: Watch) -> None:
    """Docker quotes the program that it does not find, and a registry's refusal may quote the login."""
    for changes in ({"entrypoint": [plant("program")]}, {"image": "registry.invalid/private:1"}):
        body = request_for(offer_of(running.client), **(everything_secret() | changes))
        failed = wait_for(running, running.client.post("/v1/contracts", body), "failed")
        assert failed["reason"]
    end_all(running)
    look_clean(watch, running, site)


@pytest.mark.slow
def test_what_a_client_gets_wrong_is_not_repeated_anywhere(running: Running, site: Site, watch: Watch) -> None:
    for wrong in (
        {"env": {"TOKEN": plant("env", "\0")}},
        {"args": [plant("args"), 7]},
        {"unknown": plant("field")},
        {"login": {"username": plant("user"), "password": plant("password"), "token": plant("token")}},
    ):
        with pytest.raises(ApiError, match="400 invalid_request"):
            running.client.post("/v1/contracts", request_for(offer_of(running.client), **wrong))
    for key in (plant("key"), f"gl_admin_{plant('key')}"):
        with pytest.raises(ApiError, match="401 unauthenticated"):
            Client(running.cloud.front_url, key).get("/v1/contracts")
    with pytest.raises(ApiError, match="401 unauthenticated"):
        running.client.call("POST", "/v1/host/manifest", {"v": 1}, Authorization=f"Machine {plant('token')}")
    look_clean(watch, running, site)


def test_secrets_that_are_shown_once_are_nowhere_afterwards(running: Running, site: Site, watch: Watch) -> None:
    issued = running.client.post("/v1/keys", {"label": "watched"})
    watch.known["an issued key"] = issued["key"].encode()
    assert Client(running.cloud.front_url, issued["key"]).get("/v1/keys")["items"]
    running.client.delete(f"/v1/keys/{issued['id']}")
    admission = running.owner.post("/v1/hosts", {"label": "watched"})
    watch.known["a registration token"] = admission["registration_token"].partition(".")[2].encode()
    watch.known["an activation code"] = admission["activation_code"].encode()
    with pytest.raises(ApiError, match="400 invalid_request"):
        body = {"v": 1, "registration_token": admission["registration_token"]}
        running.client.call("POST", "/v1/host/register", body)
    look_clean(watch, running, site)


@pytest.mark.slow
def test_the_watch_sees_what_is_left_somewhere(running: Running, site: Site, watch: Watch) -> None:
    """The places are read: a secret in a log, in a table, in a file of the host is found there."""
    left = token_hex(16)
    other = Watch({"what is left": left.encode()})
    path = site.state / "left-behind"
    path.write_text(json.dumps({"token": base64.b64encode(left.encode()).decode()}))
    table, name = running.cloud.client("dynamodb"), running.cloud.outputs["TableName"]
    key = {"pk": {"S": "X#left"}, "sk": {"S": "X"}}
    table.put_item(TableName=name, Item=key | {"secret": {"S": left}})
    logs = running.cloud.client("logs")
    group = logs.describe_log_groups()["logGroups"][0]["logGroupName"]
    logs.create_log_stream(logGroupName=group, logStreamName="left")
    logs.put_log_events(
        logGroupName=group, logStreamName="left", logEvents=[{"timestamp": 1_800_000_000_000, "message": left}]
    )
    other.look(running, site.state)
    path.unlink()
    table.delete_item(TableName=name, Key=key)
    logs.delete_log_stream(logGroupName=group, logStreamName="left")
    places = {each.partition(":")[0] for each in other.findings}
    assert {"file left-behind", f"table {name}", f"log {group}"} <= places


def plant_is_kept(engine: docker.DockerClient, instance_id: int, secret: str) -> bool:
    """While the contract lasts, Docker keeps its container's command: docs/security.md says so."""
    found: str = engine.containers.get(f"gpulease-{instance_id}").attrs["Args"][-1]
    return found == secret
