"""/v1/host/*: machines register once and fetch what is current, signed with their key."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.stub import Stubber
from pydantic import BaseModel

from handlers import api_hosts, api_machine, sweep
from handlers.on_instance_changed import handler as on_instance_changed
from rental.adapters import wiring
from rental.adapters.records import from_record
from rental.api.limits import MAX_ID, MAX_REPLY
from rental.api.machine_answers import HostManifest
from rental.api.machine_requests import CallRequest, CertificateRequest, FetchRequest, ManifestRequest, ReplyRequest
from rental.api.machine_schemas import CallBody, CertificateBody, FetchBody, ManifestBody, RegisterBody, ReplyBody
from rental.ports import Principal
from tests.fakes.http import Answer, call
from tests.fakes.machine import Machine, base64url
from tests.handlers.conftest import Site, reported

SCHEMAS = Path(__file__).parents[2] / "schemas"
NAMED = {"v": 1, "contract_id": 1, "instance_id": 1, "generation": 1}
INVENTORY = {
    "gpus": [
        {"index": index, "uuid": f"GPU-{index:04d}", "name": "Test", "memory_bytes": 1 << 36} for index in range(4)
    ],
    "simulated": True,
    "cpus": 8,
    "memory_bytes": 1 << 36,
    "disk_bytes": 1 << 40,
    "disk_enforced": True,
    "unenforced": ["io"],
    "driver_version": None,
    "docker_version": "20.10.24",
    "cgroup_version": 1,
    "hostname": "metal",
}


def validate(name: str, value: Any) -> None:
    jsonschema.validate(value, json.loads((SCHEMAS / name).read_text()))


def register_body(machine: Machine, token: str, **changes: Any) -> dict[str, Any]:
    key = machine.key
    body = {"v": 1, "registration_token": token, "signing_key": key.signing_key, "sealing_key": key.sealing_key}
    return body | {"inventory": INVENTORY} | changes


def admit(owner: Principal) -> tuple[int, str]:
    """A new host's id and registration token, given out once over HTTP."""
    with Stubber(wiring.client("ssm")) as stub:
        stub.add_response("create_activation", {"ActivationId": "a" * 36, "ActivationCode": "c" * 20})
        answer = call(api_hosts.handler, "POST", "/v1/hosts", {"label": "rack 1"}, caller=owner)
    assert answer.status == 201, answer.text
    assert answer.body["activation_code"] == "c" * 20
    return answer.body["id"], answer.body["registration_token"]


def test_a_repeated_request_for_a_host_makes_no_second_activation_and_names_the_first(site: Site) -> None:
    details: dict[str, Any] = {"caller": site.owner, "headers": {"idempotency-key": "once"}}
    with Stubber(wiring.client("ssm")) as stub:
        stub.add_response("create_activation", {"ActivationId": "a" * 36, "ActivationCode": "c" * 20})
        first = call(api_hosts.handler, "POST", "/v1/hosts", {"label": "rack 1"}, **details)
        again = call(api_hosts.handler, "POST", "/v1/hosts", {"label": "rack 1"}, **details)
        other = call(api_hosts.handler, "POST", "/v1/hosts", {"label": "rack 2"}, **details)
    assert (first.status, again.status, again.code) == (201, 409, "already_done")
    assert str(first.body["id"]) in again.body["error"]["message"]
    assert (other.status, other.code) == (422, "idempotency_mismatch")


def register(body: dict[str, Any], nodes: int = 1) -> Answer:
    with Stubber(wiring.client("ssm")) as stub:
        found = [{"InstanceId": f"mi-{each}"} for each in range(nodes)]
        stub.add_response("describe_instance_information", {"InstanceInformationList": found})
        return call(api_machine.handler, "POST", "/v1/host/register", body)


def signed(machine: Machine, now: int, path: str, body: Any, **claims: Any) -> Answer:
    text = json.dumps(body)
    token = machine.sign_request(path, text.encode(), now, **claims)
    return call(api_machine.handler, "POST", path, text, headers={"authorization": f"Machine {token}"})


def fetch(site: Site, contract: int, machine: Machine | None = None, changes: dict[str, int] | None = None) -> Answer:
    body = {"v": 1, "contract_id": contract, "instance_id": contract, "generation": 1, "token": 1} | (changes or {})
    validate("fetch.v1.json", {"request": body})
    return signed(machine or site.machine, site.now, "/v1/host/fetch", body)


def test_a_machine_registers_and_may_repeat_it(site: Site) -> None:
    host_id, token = admit(site.owner)
    body = register_body(site.machine, token)
    validate("register.v1.json", {"request": body})
    first = register(body)
    assert first.status == 200, first.text
    validate("register.v1.json", {"response": first.body})
    assert (first.body["host_id"], first.body["key_id"]) == (host_id, site.machine.key.key_id)
    assert (first.body["event_bus_name"], first.body["region"]) == ("bus", "us-east-1")
    assert register(body).body == first.body


def test_a_registration_that_may_not_be_is_refused(site: Site) -> None:
    _, token = admit(site.owner)
    assert register(register_body(site.machine, token), nodes=0).code == "busy"
    assert register(register_body(site.machine, token), nodes=2).code == "busy"
    assert register(register_body(site.machine, token + "x")).code == "unauthenticated"
    assert register(register_body(site.machine, "²³.x")).code == "unauthenticated"
    assert register(register_body(site.machine, token)).status == 200
    assert register(register_body(Machine(1), token)).code == "unauthenticated"


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"signing_key": "A" * 42},
        {"signing_key": "=" * 43},
        {"sealing_key": 7},
        {"registration_token": "x" * 129},
        {"inventory": None},
        {"inventory": INVENTORY | {"gpus": []}},
        {"inventory": INVENTORY | {"gpus": [{"index": 0, "uuid": "$(reboot)", "name": "", "memory_bytes": 0}]}},
        {"inventory": INVENTORY | {"gpus": [{"index": 1, "uuid": "GPU-1", "name": "", "memory_bytes": 0}]}},
        {"inventory": INVENTORY | {"gpus": [INVENTORY["gpus"][0]] * 2}},  # type: ignore[index]
        {"inventory": INVENTORY | {"gpus": INVENTORY["gpus"][::-1]}},  # type: ignore[index]
        {"inventory": INVENTORY | {"memory_bytes": -1}},
        {"inventory": INVENTORY | {"disk_bytes": 1 << 62}},
        {"inventory": INVENTORY | {"cgroup_version": 3}},
    ],
)
def test_a_machine_that_describes_itself_wrongly_is_400(site: Site, changes: dict[str, Any]) -> None:
    assert register(register_body(site.machine, "1.x", **changes)).code == "invalid_request"


def test_a_key_that_nothing_can_be_sealed_to_is_400(site: Site) -> None:
    _, token = admit(site.owner)
    answer = register(register_body(site.machine, token, sealing_key=base64url(bytes(32))))
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_fields_of_a_newer_machine_are_let_pass(site: Site) -> None:
    _, token = admit(site.owner)
    assert register(register_body(site.machine, token, from_the_future=1)).status == 200


def test_a_host_fetches_the_secrets_of_what_it_is_to_start(site: Site) -> None:
    contract_id = site.rented()
    answer = fetch(site, contract_id)
    assert answer.status == 200
    validate("fetch.v1.json", {"response": answer.body})
    contract = wiring.store().read_contract(contract_id)  # type: ignore[arg-type]
    assert contract is not None
    assert contract.launch.sealed is not None
    secrets = json.loads(site.machine.open(contract.launch.sealed, contract_id))
    validate("fetch.v1.json", {"secrets": secrets})
    sealed = {"key_id": site.machine.key.key_id, "sealed": contract.launch.sealed.ciphertext}
    assert answer.body == {"v": 1, **sealed, "ssh_keys": []}


def test_what_is_not_current_is_409_and_starts_nothing(site: Site) -> None:
    contract_id = site.rented()
    for changes in ({"generation": 2}, {"token": 2}, {"instance_id": 5}, {"contract_id": 5}):
        answer = fetch(site, contract_id, changes=changes)
        assert (answer.status, answer.code) == (409, "not_current")
        validate("fetch.v1.json", {"error": answer.body})
    site.on_contract("DELETE", contract_id)
    assert fetch(site, contract_id).code == "contract_over"


def test_another_hosts_contract_is_not_current_for_this_one(site: Site) -> None:
    neighbour = Site().open()
    assert fetch(neighbour, site.rented()).code == "not_current"


def test_a_request_that_the_host_did_not_sign_is_401(site: Site) -> None:
    contract_id = site.rented()
    assert fetch(site, contract_id, Machine(site.host_id)).code == "unauthenticated"
    assert fetch(site, contract_id, Machine(10**9)).code == "unauthenticated"
    path = "/v1/host/manifest"
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Machine x"}, {"authorization": "Machine "}):
        answer = call(api_machine.handler, "POST", path, {"v": 1}, headers=headers)
        assert (answer.status, answer.code) == (401, "unauthenticated")
    assert signed(site.machine, site.now, path, {"v": 1}, htu="/v1/host/fetch").status == 401
    assert signed(site.machine, site.now - 600, path, {"v": 1}).status == 401


def test_the_manifest_is_every_order_of_the_host_and_of_no_other(site: Site) -> None:
    neighbour = Site().open()
    body = {"address": "203.0.113.5", "first_port": 20000, "last_port": 20009}
    opened = call(api_hosts.handler, "PUT", f"/v1/hosts/{site.host_id}/direct", body, caller=site.owner)
    assert opened.status == 200, opened.text
    mine, other = site.rented(ports=[{"container": 8080, "protocol": "tcp"}]), neighbour.rented()
    answer = signed(site.machine, site.now, "/v1/host/manifest", {"v": 1})
    validate("manifest.v1.json", {"request": {"v": 1}})
    validate("manifest.v1.json", {"response": answer.body})
    assert [order["contract_id"] for order in answer.body["orders"]] == [mine]
    HostManifest.model_validate_json(answer.text, strict=True, extra="forbid")
    assert "hunter2" not in answer.text
    assert other not in [order["contract_id"] for order in answer.body["orders"]]


def test_our_models_take_what_the_schemas_require() -> None:
    machine = Machine(1)
    bodies: list[tuple[type[Any], str, dict[str, Any]]] = [
        (RegisterBody, "register.v1.json", register_body(machine, "1.x")),
        (FetchBody, "fetch.v1.json", {"v": 1, "contract_id": 1, "instance_id": 1, "generation": 1, "token": 1}),
        (ManifestBody, "manifest.v1.json", {"v": 1}),
        (CertificateBody, "certificate.v1.json", {**NAMED, "csr": "x"}),
    ]
    for kind, name, body in bodies:
        validate(name, {"request": body})
        kind.model_validate(body)
        schema = json.loads((SCHEMAS / name).read_text())["$defs"]["request"]
        assert set(schema["required"]) == {each for each, field in kind.model_fields.items() if field.is_required()}


@pytest.mark.parametrize(
    ("quick", "model"),
    [
        (FetchRequest, FetchBody),
        (ManifestRequest, ManifestBody),
        (CertificateRequest, CertificateBody),
        (CallRequest, CallBody),
        (ReplyRequest, ReplyBody),
    ],
)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"v": 2},
        {"v": None},
        {"v": True},
        {"token": "1"},
        {"token": True},
        {"token": 1.5},
        {"csr": 1},
        *({name: number} for name in (*NAMED, "token") for number in (0, MAX_ID, MAX_ID + 1, 10**3000)),
        *({"call_id": text} for text in ("", "c" * 42, "c" * 43 + "\n", "c" * 3000, "ü" * 43)),
        {"unknown": 1},
    ],
)
def test_what_is_read_quickly_is_taken_and_refused_as_the_model_would(
    quick: type[Any], model: type[BaseModel], changes: dict[str, Any]
) -> None:
    whole: dict[str, Any] = {**NAMED, "token": 1, "csr": "x", "call_id": "c" * 43, "sealed": "x"}
    body = {name: value for name, value in whole.items() if name in model.model_fields} | changes
    for sent in (body, *({each: body[each] for each in body if each != left_out} for left_out in body)):
        assert is_taken(partial(from_record, quick), sent) == is_taken(model.model_validate, sent)


@pytest.mark.parametrize("sealed", ["x" * MAX_REPLY, "x" * (MAX_REPLY + 1), "", 7])
def test_a_reply_is_taken_up_to_its_bound(sealed: object) -> None:
    sent = {"v": 1, "call_id": "c" * 43, "sealed": sealed}
    assert is_taken(partial(from_record, ReplyRequest), sent) == is_taken(ReplyBody.model_validate, sent)


def test_a_reply_that_is_too_large_to_be_stored_is_400(site: Site) -> None:
    sent = {"v": 1, "call_id": "c" * 43, "sealed": "x" * (MAX_REPLY + 1)}
    answer = signed(site.machine, site.now, "/v1/host/reply", sent)
    assert (answer.status, answer.code) == (400, "invalid_request")


def is_taken(read: Callable[[dict[str, Any]], object], sent: dict[str, Any]) -> bool:
    try:
        read(sent)
    except (TypeError, ValueError):
        return False
    return True


def test_a_host_is_shown_with_what_runs_on_it(site: Site) -> None:
    contract_id = site.rented()
    assert reported(contract_id)["status"] == "running"
    shown = call(api_hosts.handler, "GET", f"/v1/hosts/{site.host_id}", caller=site.owner).body
    assert shown["gpus_held_by"] == {"0": contract_id}
    assert shown["contracts"] == [contract_id]
    assert "registration_sha256" not in shown


def rotation(old: Machine, new: Machine, **claims: Any) -> dict[str, Any]:
    proof = new.sign({"iss": str(old.host_id), "replaces": old.key.key_id} | claims)
    return {"v": 1, "signing_key": new.key.signing_key, "sealing_key": new.key.sealing_key, "proof": proof}


def test_a_machine_replaces_its_key_and_only_the_new_one_is_believed(site: Site) -> None:
    contract_id = site.rented()
    new = Machine(site.host_id)
    body = rotation(site.machine, new)
    validate("key.v1.json", {"request": body})
    answer = signed(site.machine, site.now, "/v1/host/key", body)
    assert (answer.status, answer.body["key_id"]) == (200, new.key.key_id), answer.text
    validate("key.v1.json", {"response": answer.body})
    assert signed(site.machine, site.now, "/v1/host/manifest", {"v": 1}).code == "unauthenticated"
    state = signed(new, site.now, "/v1/host/manifest", {"v": 1}).body
    assert [order["contract_id"] for order in state["orders"]] == [contract_id]
    assert state["sealed_key_ids"] == [site.machine.key.key_id]


def test_a_rotation_whose_answer_was_lost_is_repeated_with_the_new_key(site: Site) -> None:
    new = Machine(site.host_id)
    body = rotation(site.machine, new)
    assert signed(site.machine, site.now, "/v1/host/key", body).status == 200
    assert signed(site.machine, site.now, "/v1/host/key", body).code == "unauthenticated"
    assert signed(new, site.now, "/v1/host/key", body).status == 200


@pytest.mark.parametrize("claims", [{"iss": "1"}, {"replaces": "0" * 16}, {"replaces": None}])
def test_a_proof_for_another_host_or_key_is_refused(site: Site, claims: dict[str, Any]) -> None:
    body = rotation(site.machine, Machine(site.host_id), **claims)
    assert signed(site.machine, site.now, "/v1/host/key", body).code == "unauthenticated"
    assert signed(site.machine, site.now, "/v1/host/manifest", {"v": 1}).status == 200


def test_a_key_that_the_sender_does_not_hold_is_refused(site: Site) -> None:
    own, foreign = Machine(site.host_id), Machine(site.host_id)
    body = rotation(site.machine, own) | {"signing_key": foreign.key.signing_key}
    assert signed(site.machine, site.now, "/v1/host/key", body).code == "unauthenticated"


@pytest.mark.parametrize("changes", [{"signing_key": "x"}, {"sealing_key": "A" * 43}, {"proof": "x" * 2000}])
def test_a_key_that_cannot_be_one_is_refused(site: Site, changes: dict[str, Any]) -> None:
    body = rotation(site.machine, Machine(site.host_id)) | changes
    assert signed(site.machine, site.now, "/v1/host/key", body).code == "invalid_request"


@pytest.mark.parametrize("path", ["/v1/host/manifest", "/v1/host/fetch", "/v1/host/key"])
def test_a_machine_whose_key_was_revoked_is_told_that_it_is_no_host_any_more(site: Site, path: str) -> None:
    revoked = call(api_hosts.handler, "POST", f"/v1/hosts/{site.host_id}/revoke", caller=site.owner)
    assert (revoked.status, revoked.body["status"]) == (200, "revoked"), revoked.text
    bodies = {
        "/v1/host/manifest": {"v": 1},
        "/v1/host/fetch": {"v": 1, "contract_id": 1, "instance_id": 1, "generation": 1, "token": 1},
        "/v1/host/key": rotation(site.machine, Machine(site.host_id)),
    }
    assert signed(site.machine, site.now, path, bodies[path]).code == "host_retired"
    assert signed(Machine(site.host_id), site.now, path, bodies[path]).code == "unauthenticated"


def test_a_report_under_a_revoked_key_changes_nothing(site: Site) -> None:
    contract_id = site.rented()
    call(api_hosts.handler, "POST", f"/v1/hosts/{site.host_id}/revoke", caller=site.owner)
    on_instance_changed(site.event([reported(contract_id)]), None)
    assert site.on_contract("GET", contract_id).body["status"] == "pending"
    assert sweep.handler({}, None)["cleared"] == 1
    ended = site.on_contract("GET", contract_id).body
    assert (ended["status"], ended["instances"][0]["status"]) == ("failed", "removed")


def test_a_host_that_reports_is_not_declared_lost(site: Site) -> None:
    on_instance_changed(site.event([]), None)
    path = f"/v1/hosts/{site.host_id}/lost"
    assert call(api_hosts.handler, "POST", path, caller=site.owner).code == "host_heard"
    assert call(api_hosts.handler, "POST", path, caller=Principal("another", "host")).code == "not_found"
