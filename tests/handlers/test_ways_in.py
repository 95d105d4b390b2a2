"""Ways in over HTTP: an owner opens ports, a client rents, and is told where to go; tokens are told to nobody else."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from handlers import api_contracts, api_hosts
from rental.adapters import wiring
from rental.domain.ids import ContractId
from rental.service.orders import order_of
from tests.fakes.builders import PROXY
from tests.fakes.http import Answer, call
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site
from tests.service.test_dispatching import validate

DIRECT = {"address": "203.0.113.5", "first_port": 20_000, "last_port": 20_999}
WEB = {"container": 8080, "protocol": "tcp"}
NOWHERE = {"ssh": {"direct": None, "proxy": None, "host_key": None}, "jupyter": None}


def on_direct(site: Site, method: str, body: Any = None, **details: Any) -> Answer:
    details.setdefault("caller", site.owner)
    return call(api_hosts.handler, method, f"/v1/hosts/{site.host_id}/direct", body, **details)


@pytest.fixture
def no_proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a function that starts where the deployment has none."""
    monkeypatch.setenv("PROXY", "none")
    wiring.proxy.cache_clear()
    api_contracts.renting.cache_clear()
    yield
    wiring.proxy.cache_clear()
    api_contracts.renting.cache_clear()


def rent(site: Site, **changes: Any) -> Answer:
    keys = {"ssh_keys": [make_line(1)]} if changes.get("mode") == "ssh" else {}
    return site.rent(body=site.wish(**{"args": None, **keys, **changes}))


def first_of(answer: Answer) -> Any:
    assert answer.status == 201, answer.text
    return answer.body["instances"][0]


def test_an_owner_opens_ports_and_takes_that_back(site: Site) -> None:
    opened = on_direct(site, "PUT", DIRECT)
    assert (opened.status, opened.body["direct"]) == (200, DIRECT)
    shown = call(api_hosts.handler, "GET", f"/v1/hosts/{site.host_id}", caller=site.owner)
    assert shown.body["direct"] == DIRECT
    withdrawn = on_direct(site, "DELETE")
    assert (withdrawn.status, withdrawn.body["direct"]) == (200, None)
    assert on_direct(site, "DELETE").status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "host.example.com"},
        {"address": "169.254.169.254"},
        {"address": 1},
        {"first_port": 80},
        {"first_port": 30_000},
        {"last_port": 65_536},
        {"first_port": 1024, "last_port": 5120},
        {"more": 1},
    ],
)
def test_an_address_or_range_that_makes_no_sense_is_400(site: Site, changes: Any) -> None:
    assert (on_direct(site, "PUT", DIRECT | changes).status, on_direct(site, "DELETE").body["direct"]) == (400, None)


def test_loopback_is_taken_where_gpus_may_be_simulated(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_direct(site, "PUT", DIRECT | {"address": "127.0.0.1"}).status == 200
    monkeypatch.setenv("ALLOW_SIMULATED_GPUS", "false")
    api_hosts.hosts.cache_clear()
    assert on_direct(site, "PUT", DIRECT | {"address": "127.0.0.1"}).status == 400
    api_hosts.hosts.cache_clear()


def test_a_client_is_told_both_ways_in_by_ssh_and_where_its_ports_are(site: Site) -> None:
    on_direct(site, "PUT", DIRECT)
    answer = rent(site, mode="ssh", ports=[WEB, {"container": 53, "protocol": "udp"}])
    instance = first_of(answer)
    assert instance["ports"] == {
        "10022/tcp": {"address": "203.0.113.5", "port": 20_000},
        "8080/tcp": {"address": "203.0.113.5", "port": 20_001},
        "53/udp": {"address": "203.0.113.5", "port": 20_000},
    }
    direct, over_proxy = instance["access"]["ssh"]["direct"], instance["access"]["ssh"]["proxy"]
    assert direct == {
        "address": "203.0.113.5",
        "port": 20_000,
        "user": "root",
        "command": "ssh -p 20000 root@203.0.113.5",
    }
    assert over_proxy["address"] == PROXY.addresses[0]
    assert over_proxy["port"] in PROXY.ports
    assert instance["access"]["jupyter"] is None
    assert answer.body["mode"] == "ssh"
    assert site.on_contract("GET", answer.body["id"]).body == answer.body
    listed = call(api_contracts.handler, "GET", "/v1/contracts", caller=site.client).body["items"]
    assert listed == [answer.body]


def test_mode_args_has_no_way_in(site: Site) -> None:
    instance = first_of(site.rent())
    assert (instance["ports"], instance["access"]) == ({}, NOWHERE)


def test_the_order_says_what_to_publish(site: Site) -> None:
    on_direct(site, "PUT", DIRECT)
    contract = wiring.store().read_contract(ContractId(rent(site, mode="ssh", ports=[WEB]).body["id"]))
    assert contract is not None
    order = order_of(contract, contract.instances[0])
    assert order["mode"] == "ssh"
    assert order["ports"] == [
        {"container": 10_022, "protocol": "tcp", "host": 20_000},
        {"container": 8080, "protocol": "tcp", "host": 20_001},
    ]
    validate("command.v1.json", {"v": 1, "host_id": site.host_id, "not_after": 0, "orders": [order]})
    validate("manifest.v1.json", {"response": {"v": 1, "host_id": site.host_id, "orders": [order]}})


@pytest.mark.parametrize(
    "wish",
    [
        {"ports": [WEB]},
        {"mode": "ssh"},
        {"mode": "jupyter"},
        {"mode": "jupyter", "jupyter_via": "direct"},
        {"mode": "jupyter", "jupyter_via": "proxy"},
    ],
)
def test_what_cannot_be_reached_is_not_rented(site: Site, no_proxy: None, wish: Any) -> None:
    answer = rent(site, **wish)
    assert (answer.status, answer.code) == (409, "not_reachable")


def test_a_rental_gets_all_of_its_ports_or_nothing(site: Site) -> None:
    on_direct(site, "PUT", DIRECT | {"last_port": 20_000})
    refused = rent(site, mode="ssh", ports=[WEB])
    assert (refused.status, refused.code) == (409, "no_ports_free")
    assert rent(site, mode="ssh").status == 201


@pytest.mark.parametrize("via", ["proxy", "direct", None])
def test_the_client_asks_for_the_token_as_often_as_it_likes(site: Site, via: str | None) -> None:
    on_direct(site, "PUT", DIRECT)
    answer = rent(site, mode="jupyter", jupyter_via=via)
    way = first_of(answer)["access"]["jupyter"]
    assert way["via"] == (via or "proxy")
    told = site.on_contract("GET", answer.body["id"], "/jupyter")
    assert (told.status, told.body["url"], told.body["via"]) == (200, way["url"], way["via"])
    assert site.on_contract("GET", answer.body["id"], "/jupyter") == told


def test_a_token_is_sealed_to_the_host_and_in_no_log_table_or_other_answer(
    site: Site, lines: list[logging.LogRecord]
) -> None:
    rented = rent(site, mode="jupyter", onstart="echo hello")
    contract_id = rented.body["id"]
    token = site.on_contract("GET", contract_id, "/jupyter").body["token"]
    contract = wiring.store().read_contract(contract_id)
    assert contract is not None
    assert contract.launch.sealed is not None
    sealed = json.loads(site.machine.open(contract.launch.sealed, contract.id))
    assert (sealed["jupyter_token"], sealed["onstart"]) == (token, "echo hello")
    assert token not in rented.text + site.on_contract("GET", contract_id).text
    assert token not in site.on_contract("GET", contract_id, "/events").text
    assert not any(token in str(line.__dict__) for line in lines)
    assert token not in str(boto3.client("dynamodb").scan(TableName="table")["Items"])


def test_other_modes_and_other_people_are_told_no_token(site: Site) -> None:
    args, jupyter = site.rented(), rent(site, mode="jupyter").body["id"]
    refused = site.on_contract("GET", args, "/jupyter")
    assert (refused.status, refused.code) == (409, "conflict")
    assert site.on_contract("GET", jupyter, "/jupyter", caller=site.owner).status == 403
    for instance_id, status in ((jupyter, 200), (jupyter + 1, 404), ("x", 400)):
        assert site.on_contract("GET", jupyter, "/jupyter", query={"instance_id": str(instance_id)}).status == status
    site.on_contract("DELETE", jupyter)
    assert site.on_contract("GET", jupyter, "/jupyter").code == "contract_over"
