"""Hosts make their tunnel key known and learn the proxies; proxies learn what a host may listen on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gpulease_host.tunnels.proxies import parse_proxies
from handlers import api_accounts, api_machine, api_proxy
from proxy.service import Binding, HostPorts, parse_ports
from rental.adapters import wiring
from rental.domain.ids import ContractId
from rental.domain.tunnel import fingerprint_of
from rental.ports import Principal
from tests.docs.pages import ROOT
from tests.fakes.http import Answer, call
from tests.fakes.machine import TUNNEL_END, tunnel_key_of
from tests.handlers.conftest import Site

A_PROXY = Principal("proxies", "proxy")


def validate(value: Any) -> None:
    Draft202012Validator(json.loads((ROOT / "schemas/tunnel.v1.json").read_text())).validate(value)


def introduce(site: Site, key: str) -> Answer:
    body = {"v": 1, "public_key": key}
    validate({"request": body})
    path = "/v1/host/tunnel"
    token = site.machine.sign_request(path, json.dumps(body).encode(), site.now)
    return call(api_machine.handler, "POST", path, body, headers={"authorization": f"Machine {token}"})


def ports_of(key: str, caller: Principal = A_PROXY) -> Answer:
    fingerprint = fingerprint_of(key)
    path = f"/v1/proxy/hosts/{fingerprint}"
    return call(api_proxy.handler, "GET", path, caller=caller)


def number(contract_id: int) -> None:
    """Give the contract's instance its numbers on the proxies."""
    contract = wiring.store().read_contract(ContractId(contract_id))
    assert contract is not None
    before = wiring.ledger().open_book(contract.host_id, [contract.id])
    numbered = replace(contract.instances[0], proxy_ssh_port=40_001, proxy_jupyter_port=41_001)
    wiring.store().commit(before, before.with_contract(replace(contract, instances=(numbered,))))


def test_a_host_learns_the_proxies_in_words_that_it_understands(site: Site) -> None:
    answer = introduce(site, tunnel_key_of(1))
    assert answer.status == 200, answer.body
    validate({"response": answer.body})
    (found,) = parse_proxies(answer.body)
    assert (found.address, found.host_key, found.public_address) == (
        TUNNEL_END["address"],
        TUNNEL_END["host_key"],
        "0.0.0.0",
    )


def test_a_proxy_learns_what_the_host_may_listen_on_in_words_that_it_understands(site: Site) -> None:
    contract_id = site.rented()
    number(contract_id)
    introduce(site, tunnel_key_of(1))
    answer = ports_of(tunnel_key_of(1))
    assert answer.status == 200
    lines = (Binding(contract_id, "ssh", 40_001), Binding(contract_id, "jupyter", 41_001))
    assert parse_ports(answer.body) == HostPorts(site.host_id, lines)


def test_a_key_that_nobody_has_is_not_found(site: Site) -> None:
    assert ports_of(tunnel_key_of(9)).body["error"]["code"] == "not_found"
    path = "/v1/proxy/hosts/x"
    assert call(api_proxy.handler, "GET", path, caller=A_PROXY).status == 404


@pytest.mark.parametrize("role", ["client", "host"])
def test_nobody_else_learns_it(site: Site, role: str) -> None:
    introduce(site, tunnel_key_of(1))
    assert ports_of(tunnel_key_of(1), Principal("x", role)).status == 403


def test_a_proxy_s_key_makes_no_keys(site: Site) -> None:
    for body in ({}, {"role": "proxy"}, {"role": "client"}):
        assert call(api_accounts.handler, "POST", "/v1/keys", body, caller=A_PROXY).status == 403


def test_only_an_administrator_makes_a_proxy_s_key(site: Site) -> None:
    asked = {"role": "proxy"}
    for caller, status in ((site.client, 403), (site.owner, 403), (Principal("admin", "admin"), 201)):
        assert call(api_accounts.handler, "POST", "/v1/keys", asked, caller=caller).status == status
