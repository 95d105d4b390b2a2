"""/v1/contracts over HTTP: whole contracts, one log line, no secret anywhere."""

import json
import logging
from typing import Any

import boto3
import pytest

from handlers import api_contracts
from handlers.on_instance_changed import handler as on_instance_changed
from rental.adapters import wiring
from rental.domain.renting import MAX_INSTANCES
from rental.ports import Principal
from tests.fakes.http import call
from tests.handlers.conftest import Site, reported

CONTRACT_FIELDS = {
    "id", "status", "desired", "reason", "host_id", "offer_id", "label", "image", "mode", "env_keys", "gpus", "share",
    "price_microusd_h", "disk_price_microusd_gib_month", "created_at", "end_at", "grace_s", "delete_after", "instances",
    "ssh_keys", "stop_grace_s", "init", "pull",
}  # fmt: skip


def test_a_rental_answers_201_with_the_whole_contract(site: Site) -> None:
    answer = site.rent()
    assert answer.status == 201
    body = answer.body
    assert set(body) == CONTRACT_FIELDS
    assert (body["status"], body["desired"], body["env_keys"]) == ("pending", "running", ["PASSWORD"])
    assert body["gpus"] == [{"index": 0, "uuid": "GPU-0000", "name": "Test GPU"}]
    assert body["share"]["gpus"] == "1/4"
    assert (body["share"]["disk"], body["share"]["io"], body["share"]["network"]) == (
        "enforced",
        "unenforced",
        "enforced",
    )
    assert body["delete_after"] == body["end_at"] + body["grace_s"] == body["created_at"] + 3600 + 172_800
    assert body["instances"][0]["id"] == body["id"]
    assert site.on_contract("GET", body["id"]).body == body


def test_how_it_stops_pulls_and_reaps_is_asked_for_and_told(site: Site) -> None:
    told = site.rent().body
    assert (told["stop_grace_s"], told["init"], told["pull"]) == (10, False, "changed")
    wish: dict[str, Any] = {"stop_grace_s": 120, "init": True, "pull": "missing"}
    told = site.rent(body=site.wish(**wish)).body
    assert {name: told[name] for name in wish} == wish
    assert told["instances"][0]["onstart_exit_code"] is told["instances"][0]["image_digest"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"stop_grace_s": 0},
        {"stop_grace_s": 121},
        {"stop_grace_s": None},
        {"init": "yes"},
        {"init": True, "mode": "ssh", "args": None},
        {"pull": "always"},
        {"env": {"NVIDIA_DRIVER_CAPABILITIES": "everything"}},
        {"env": {"nvidia_driver_capabilities": "all"}},
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_its_field(site: Site, wrong: dict[str, Any]) -> None:
    answer = site.rent(body=site.wish(**wrong))
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert next(iter(wrong)) in answer.body["error"]["message"]


@pytest.mark.parametrize("parts", ["all", "compute,utility,graphics", "video, display"])
def test_parts_of_the_driver_are_asked_for(site: Site, parts: str) -> None:
    assert site.rent(body=site.wish(env={"NVIDIA_DRIVER_CAPABILITIES": parts})).status == 201


def test_secrets_reach_neither_answer_nor_log_nor_table(site: Site, lines: list[logging.LogRecord]) -> None:
    answer = site.rent()
    assert "hunter2" not in answer.text
    assert not any("hunter2" in str(line.__dict__) for line in lines)
    items = boto3.client("dynamodb").scan(TableName="table")["Items"]
    assert "hunter2" not in str(items)
    contract = wiring.store().read_contract(answer.body["id"])
    assert contract is not None
    assert contract.launch.sealed is not None
    plaintext = json.loads(site.machine.open(contract.launch.sealed, contract.id))
    assert plaintext == {
        "env": {"PASSWORD": "hunter2"},
        "entrypoint": None,
        "args": ["sleep", "600"],
        "onstart": None,
        "login": None,
    }


def test_each_request_is_one_log_line_with_its_status(site: Site, lines: list[logging.LogRecord]) -> None:
    site.rent()
    site.on_contract("GET", 1)
    requests = [line for line in lines if line.getMessage() == "request"]
    assert [line.__dict__["status"] for line in requests] == [201, 404]


def test_a_repeated_request_answers_the_same_contract_and_another_body_422(site: Site) -> None:
    headers = {"idempotency-key": "once"}
    first = site.rent(headers=headers)
    assert site.rent(headers=headers).body == first.body
    other = site.rent(body=site.wish(label="y"), headers=headers)
    assert (other.status, other.code) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "x" * 129, "ümlaut", "a\nb"])
def test_an_idempotency_key_that_cannot_be_one_is_400(site: Site, key: str) -> None:
    assert site.rent(headers={"idempotency-key": key}).status == 400


def test_the_rental_waits_in_its_queue_and_its_execution_runs(site: Site, deployed: dict[str, str]) -> None:
    contract_id = site.rented()
    executions = boto3.client("stepfunctions").list_executions(stateMachineArn=deployed["STATE_MACHINE_ARN"])
    assert f"c{contract_id}-1" in [each["name"] for each in executions["executions"]]
    url = deployed["NORMAL_QUEUE_URL"]
    found: list[int] = []
    while messages := boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [json.loads(message["Body"])["contract_id"] for message in messages]
    assert contract_id in found


def test_a_life_over_http(site: Site) -> None:
    contract_id = site.rented()
    assert site.on_contract("POST", contract_id, "/stop", {}).code == "conflict"
    on_instance_changed(site.event([reported(contract_id, started_at=site.now)]), None)
    running = site.on_contract("GET", contract_id).body
    assert (running["status"], running["instances"][0]["status"]) == ("active", "running")
    assert site.on_contract("POST", contract_id, "/start", {}).status == 200
    stopped = site.on_contract("POST", contract_id, "/stop").body
    assert (stopped["desired"], stopped["instances"][0]["status"]) == ("stopped", "stopping")
    on_instance_changed(site.event([reported(contract_id, "stopped", generation=2, token=None)]), None)
    later = running["end_at"] + 600
    assert site.on_contract("POST", contract_id, "/extend", {"end_at": later}).status == 403
    extended = site.on_contract("POST", contract_id, "/extend", {"end_at": later}, caller=site.owner)
    assert (extended.status, extended.body["end_at"]) == (200, later)
    assert site.on_contract("POST", contract_id, "/start", {"instance_id": contract_id}).body["desired"] == "running"
    assert site.on_contract("DELETE", contract_id).body["status"] == "ending"
    assert site.on_contract("POST", contract_id, "/start", {}).code == "contract_over"
    on_instance_changed(site.event([reported(contract_id, "absent", generation=4, token=None)]), None)
    assert site.on_contract("GET", contract_id).body["status"] == "deleted"
    events = site.on_contract("GET", contract_id, "/events").body
    whole = [each["status"] for each in events["items"] if each["instance_id"] is None]
    assert whole == ["pending", "active", "active", "ending", "deleted"]
    assert events["next"] is None


def test_a_reboot_over_http(site: Site) -> None:
    contract_id = site.rented()
    assert site.on_contract("POST", contract_id, "/reboot").code == "conflict"
    on_instance_changed(site.event([reported(contract_id, started_at=site.now)]), None)
    once = {"idempotency-key": "once"}
    rebooted = site.on_contract("POST", contract_id, "/reboot", {"instance_id": contract_id}, headers=once)
    assert rebooted.status == 200, rebooted.text
    assert (rebooted.body["instances"][0]["status"], rebooted.body["instances"][0]["generation"]) == ("loading", 2)
    assert site.on_contract("POST", contract_id, "/reboot", {"instance_id": contract_id}, headers=once) == rebooted
    other = site.on_contract("POST", contract_id, "/reboot", {}, headers=once)
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert site.on_contract("POST", contract_id, "/reboot").code == "conflict"
    on_instance_changed(site.event([reported(contract_id, generation=2, token=2, started_at=site.now)]), None)
    assert site.on_contract("GET", contract_id).body["instances"][0]["status"] == "running"


@pytest.mark.parametrize("deed", ["/start", "/stop", "/extend"])
def test_an_idempotency_key_is_for_one_request_of_one_route(site: Site, deed: str) -> None:
    contract_id = site.rented()
    on_instance_changed(site.event([reported(contract_id, started_at=site.now)]), None)
    body = {"end_at": 1 << 32} if deed == "/extend" else {}
    who = site.owner if deed == "/extend" else site.client
    details: dict[str, Any] = {"headers": {"idempotency-key": "once"}, "caller": who}
    first = site.on_contract("POST", contract_id, deed, body, **details)
    assert first.status == 200, first.text
    assert site.on_contract("POST", contract_id, deed, body, **details) == first
    if deed != "/extend":
        assert site.on_contract("POST", contract_id, "/reboot", body, **details).status == 422
    assert site.on_contract("POST", contract_id, deed, body | {"instance_id": contract_id}, **details).status >= 400


def test_a_fifth_client_is_told_that_the_offer_is_taken(site: Site) -> None:
    for _ in range(4):
        site.rented()
    answer = site.rent()
    assert (answer.status, answer.code) == (409, "offer_taken")


def test_one_second_beyond_the_offer_is_400(site: Site) -> None:
    answer = site.rent(body=site.wish(duration_s=31 * 86_400))
    assert (answer.status, answer.code) == (400, "duration_too_long")


def test_lists_are_paged_and_a_forged_cursor_is_400(site: Site) -> None:
    ids = {site.rented() for _ in range(3)}
    found: set[int] = set()
    cursor: dict[str, str] = {}
    for _ in range(4):
        page = contracts(site, {"limit": "2"} | cursor)
        assert page.status == 200
        found |= {each["id"] for each in page.body["items"]}
        if page.body["next"] is None:
            break
        cursor = {"cursor": page.body["next"]}
    assert found == ids
    for query in ({"cursor": "x"}, {"limit": "0"}, {"limit": "51"}, {"limit": "-1"}, {"limit": "1" * 5000}):
        assert contracts(site, query).code == "invalid_request"


def contracts(site: Site, query: dict[str, str]) -> Any:
    return call(api_contracts.handler, "GET", "/v1/contracts", caller=site.client, query=query)


def test_without_a_key_is_401_in_our_shape(site: Site) -> None:
    for method, path in (("POST", "/v1/contracts"), ("GET", "/v1/contracts"), ("GET", "/v1/contracts/5")):
        answer = call(api_contracts.handler, method, path, {})
        assert (answer.status, answer.code) == (401, "unauthenticated")


def test_a_key_of_another_role_is_403_and_an_admin_may_do_either(site: Site) -> None:
    answer = call(api_contracts.handler, "POST", "/v1/contracts", site.wish(), caller=site.owner)
    assert (answer.status, answer.code) == (403, "forbidden")
    admin = Principal(f"admin-{site.number}", "admin")
    assert call(api_contracts.handler, "POST", "/v1/contracts", site.wish(), caller=admin).status == 201


def test_anothers_contract_is_404(site: Site) -> None:
    contract_id = site.rented()
    other = Principal("someone else", "client")
    for method, deed in (("GET", ""), ("DELETE", ""), ("POST", "/start"), ("POST", "/stop"), ("GET", "/events")):
        answer = site.on_contract(method, contract_id, deed, None, caller=other)
        assert (answer.status, answer.code) == (404, "not_found")
    answer = site.on_contract(
        "POST", contract_id, "/extend", {"end_at": site.now + 10**6}, caller=Principal("b", "host")
    )
    assert answer.status == 404


def test_more_instances_than_a_contracts_network_has_addresses_for_are_refused_for_this_reason(site: Site) -> None:
    refused = site.rent(body=site.wish(instances=MAX_INSTANCES + 1))
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert str(MAX_INSTANCES) in refused.text
    as_many = site.rent(body=site.wish(instances=MAX_INSTANCES))
    assert "divisor" in as_many.text  # this offer has one GPU only
