"""What a host says of itself, over the wire and over HTTP: to its owner, to clients, and by hosts of before."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from handlers import api_hosts
from handlers.on_instance_changed import handler as on_instance_changed
from rental.adapters import wiring
from rental.adapters.items import load_manifest
from rental.api.readiness import MAX_NOT_READY, MAX_SENTENCE
from rental.domain.readiness import MODES, Readiness
from rental.domain.sentences import one_line
from tests.fakes.http import Answer, call
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site, reported
from tests.handlers.test_machine_api import INVENTORY, admit, register, register_body, validate
from tests.handlers.test_market_api import listing, my_offers
from tests.handlers.test_ways_in import DIRECT, on_direct

EVENT_SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "event.v1.json").read_text())
REASON = "The host builds its toolkit."
ARGS_ONLY = {"args": None, "ssh": REASON, "jupyter": REASON}
ALL = dict.fromkeys(MODES)


def tell(site: Site, **told: Any) -> None:
    inventory = INVENTORY | told
    jsonschema.validate(inventory, EVENT_SCHEMA["$defs"]["inventory"])
    on_instance_changed(site.event([], inventory=inventory), None)


def show(site: Site) -> Any:
    return call(api_hosts.handler, "GET", f"/v1/hosts/{site.host_id}", caller=site.owner).body


def rent_ssh(site: Site) -> Answer:
    return site.rent(body=site.wish(args=None, mode="ssh", ssh_keys=[make_line(1)]))


def test_a_mode_that_is_not_served_is_409_until_a_report_brings_it(site: Site) -> None:
    on_direct(site, "PUT", DIRECT)
    tell(site, modes=ARGS_ONLY)
    refused = rent_ssh(site)
    assert (refused.status, refused.code) == (409, "mode_not_served")
    assert refused.body["error"]["message"] == (
        "This host has no toolkit for ssh and jupyter at the moment. Take mode args, or choose another offer."
    )
    assert {tuple(each["modes"]) for each in my_offers(site)} == {("args",)}
    assert show(site)["modes"] == ARGS_ONLY
    tell(site, modes=ALL)
    assert my_offers(site)[0]["modes"]["ssh"] == ["direct", "proxy"]
    assert rent_ssh(site).status == 201


def test_a_host_that_is_not_ready_is_409_for_owner_and_client_and_has_no_offers(site: Site) -> None:
    sentences = ["Docker is too old. Update it."]
    tell(site, not_ready=sentences)
    assert my_offers(site) == []
    refused = site.rent()
    assert (refused.status, refused.code) == (409, "host_not_ready")
    assert sentences[0] not in refused.text
    refused = listing(site)
    assert (refused.status, refused.code) == (409, "host_not_ready")
    assert sentences[0] in refused.body["error"]["message"]
    assert (show(site)["not_ready"], show(site)["reason"]) == (sentences, sentences[0])
    tell(site)
    assert site.rent().status == 201


@pytest.mark.parametrize("reason", ["GPU is lost", "GPU\n is\tlost\u202e", "x" * 1000, None])
def test_the_owner_is_told_why_a_gpu_is_out_of_use(site: Site, reason: str | None) -> None:
    gpus = [
        {"index": 0, "uuid": "GPU-0000", "status": "free", "instance_id": None, "token": 0, "reason": None},
        {"index": 1, "uuid": "GPU-0001", "status": "quarantined", "instance_id": None, "token": 0, "reason": reason},
    ]
    on_instance_changed(site.event([], gpus=gpus), None)
    shown = show(site)
    assert shown["quarantined"][0] == 1
    said = {} if reason is None else {"1": one_line(reason, 300)}
    assert shown["gpu_faults"] == said
    on_instance_changed(site.event([]), None)
    assert show(site)["gpu_faults"] == {}


def test_a_registration_says_what_the_host_serves(site: Site) -> None:
    host_id, token = admit(site.owner)
    told = INVENTORY | {"modes": ARGS_ONLY, "not_ready": ["Docker is too old. Update it."]}
    body = register_body(site.machine, token, inventory=told)
    validate("register.v1.json", {"request": body})
    assert register(body).status == 200
    shown = call(api_hosts.handler, "GET", f"/v1/hosts/{host_id}", caller=site.owner).body
    assert (shown["modes"], shown["not_ready"]) == (ARGS_ONLY, told["not_ready"])


def test_a_host_of_before_registers_and_reports_as_ever(site: Site) -> None:
    host_id, token = admit(site.owner)
    body = register_body(site.machine, token)
    assert "modes" not in body["inventory"]
    assert register(body).status == 200
    shown = call(api_hosts.handler, "GET", f"/v1/hosts/{host_id}", caller=site.owner).body
    assert (shown["modes"], shown["not_ready"]) == (ALL, [])
    on_direct(site, "PUT", DIRECT)
    tell(site)
    assert rent_ssh(site).status == 201


def test_a_manifest_of_before_is_read_as_of_a_host_that_serves_all(site: Site) -> None:
    table = wiring.store().table
    item = table.get((f"H#{site.host_id}", "CAP"))
    assert item is not None
    del item["readiness"]
    assert load_manifest(item).readiness == Readiness()


def test_a_host_that_is_registering_has_no_modes_yet(site: Site) -> None:
    host_id, _ = admit(site.owner)
    shown = call(api_hosts.handler, "GET", f"/v1/hosts/{host_id}", caller=site.owner).body
    assert (shown["modes"], shown["not_ready"]) == ({}, [])


def test_what_a_host_says_of_itself_is_cut_short_and_a_mode_of_the_future_left_out(site: Site) -> None:
    long = "\ud800" + "x" * 1000
    inventory = {"modes": {"vnc": None, "args": None, "ssh": long}, "not_ready": [long] * 100}
    on_instance_changed(site.event([], inventory=inventory), None)
    shown = show(site)
    assert set(shown["modes"]) == set(MODES)
    assert shown["modes"]["args"] is None
    assert len(shown["modes"]["ssh"]) == MAX_SENTENCE
    assert shown["modes"]["jupyter"] is not None, "a mode that it does not name is not served"
    assert [len(each) for each in shown["not_ready"]] == [MAX_SENTENCE] * MAX_NOT_READY


@pytest.mark.parametrize(
    "told", [{"modes": ["ssh"]}, {"modes": {"ssh": 1}}, {"not_ready": "no"}, {"not_ready": [None]}]
)
def test_what_is_no_word_of_a_host_changes_nothing(site: Site, told: dict[str, Any]) -> None:
    tell(site, modes=ARGS_ONLY)
    on_instance_changed(site.event([], inventory=INVENTORY | told), None)
    assert show(site)["modes"] == ARGS_ONLY
    _, token = admit(site.owner)
    assert register(register_body(site.machine, token, inventory=INVENTORY | told)).code == "invalid_request"


def test_what_a_host_writes_moves_no_cursor_and_starts_no_line(site: Site) -> None:
    contract_id = site.rented()
    odd, shown_as = "a\x1b[2J\nb\t\u202ec\u2028d\x00e\x7f\ud800é", "a?[2J b ?c d?e??é"
    told = {"modes": {"args": None, "ssh": odd, "jupyter": odd}, "not_ready": [odd]}
    on_instance_changed(site.event([reported(contract_id, "loading", reason=odd)], inventory=told), None)
    view = show(site)
    assert (view["modes"]["ssh"], view["not_ready"], view["reason"]) == (shown_as, [shown_as], shown_as)
    assert site.on_contract("GET", contract_id).body["instances"][0]["reason"] == shown_as


def test_what_a_machine_calls_itself_moves_no_cursor_either(site: Site) -> None:
    host_id, token = admit(site.owner)
    odd, shown_as = "a\x1b[2J\nb\u202ec", "a?[2J b?c"
    gpu = {"index": 0, "uuid": "GPU-0000", "name": odd, "memory_bytes": 1}
    told = INVENTORY | {"hostname": odd, "driver_version": odd, "gpus": [gpu]}
    assert register(register_body(site.machine, token, inventory=told)).status == 200
    shown = call(api_hosts.handler, "GET", f"/v1/hosts/{host_id}", caller=site.owner).body["inventory"]
    assert {shown["hostname"], shown["driver_version"], shown["gpus"][0]["name"]} == {shown_as}


def port_of(site: Site, contract_id: int) -> tuple[str, int]:
    told = site.on_contract("GET", contract_id).body
    return told["status"], told["instances"][0]["ports"]["8080/tcp"]["port"]


def test_a_port_that_the_machine_needs_itself_is_replaced_and_shown_to_its_owner(site: Site) -> None:
    on_direct(site, "PUT", DIRECT)
    contract_id = site.rent(body=site.wish(ports=[{"container": 8080, "protocol": "tcp"}])).body["id"]
    number = port_of(site, contract_id)[1]
    in_use = [{"protocol": "tcp", "port": number}]
    jsonschema.validate(in_use, EVENT_SCHEMA["$defs"]["state"]["properties"]["ports_in_use"])
    failed = reported(contract_id, "failed", reason="Its port is in use (port_taken).")
    on_instance_changed(site.event([failed], ports_in_use=in_use), None)
    assert port_of(site, contract_id) == ("pending", number + 1)
    assert show(site)["ports_in_use"] == in_use
    on_instance_changed(site.event([reported(contract_id, generation=2)]), None)
    assert port_of(site, contract_id) == ("active", number + 1)
    assert show(site)["ports_in_use"] == [], "an older host's program tells of none"
