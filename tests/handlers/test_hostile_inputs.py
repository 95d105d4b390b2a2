"""Whatever a client sends, the answer is a refusal in our shape, never a 500."""

import json
from typing import Any

import pytest
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers import api_contracts, api_hosts, api_machine, api_offers, api_root
from rental.adapters import wiring
from rental.adapters.items import Guarded, contract_key
from rental.domain.ids import ContractId
from tests.fakes.http import Answer, call
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "offer_id", "image", "args", "entrypoint", "env", "disk_gib", "duration_s", "label", "instances", "mode", "ports",
    "jupyter_via", "onstart", "v",
)  # fmt: skip
BROKEN_BODIES = [
    "",
    "{",
    "null",
    "[]",
    '"text"',
    "7",
    "\x00",
    "{}\x00",
    '{"offer_id": 1e999}',
    '{"offer_id": NaN}',
    '{"image": "\\ud800"}',
    '{"env": {"A": "\\ud800"}}',
    "[" * 100_000,
    '{"a":' * 10_000,
    "x" * 2_000_000,
    "\ufeff{}",
]
BROKEN_IDS = [
    "0",
    "-1",
    "abc",
    "9" * 16,
    "9" * 5000,
    "0" * 5000 + "1",
    "1.5",
    "%00",
    "²",
    "\u0661",
    "1e3",
    "' OR 1",
    " 1",
]


def refused(answer: Answer) -> None:
    assert 400 <= answer.status < 500, answer.text
    assert answer.code


@pytest.mark.parametrize("body", BROKEN_BODIES, ids=range(len(BROKEN_BODIES)))
def test_a_body_that_is_no_request_is_refused(site: Site, body: str) -> None:
    refused(call(api_contracts.handler, "POST", "/v1/contracts", body, caller=site.client))
    listing = call(api_hosts.handler, "PUT", f"/v1/hosts/{site.host_id}/listing", body, caller=site.owner)
    refused(listing)
    for path in ("register", "fetch", "manifest"):
        refused(call(api_machine.handler, "POST", f"/v1/host/{path}", body))


@pytest.mark.parametrize("identifier", BROKEN_IDS, ids=range(len(BROKEN_IDS)))
def test_an_id_that_cannot_be_one_is_refused(site: Site, identifier: str) -> None:
    for method, deed in (("GET", ""), ("DELETE", ""), ("POST", "/start"), ("POST", "/extend"), ("GET", "/events")):
        body = {"end_at": 1} if deed == "/extend" else None
        caller = site.owner if deed == "/extend" else site.client
        refused(site.on_contract(method, identifier, deed, body, caller=caller))
    refused(call(api_offers.handler, "GET", f"/v1/offers/{identifier}", caller=site.client))
    refused(call(api_hosts.handler, "GET", f"/v1/hosts/{identifier}", caller=site.owner))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_any_value_in_any_field_is_taken_or_refused(site: Site, field: str, value: Any) -> None:
    body = json.dumps(site.wish(disk_gib=10**6) | {field: value})
    answer = call(api_contracts.handler, "POST", "/v1/contracts", body, caller=site.client)
    assert answer.status in (201, 400, 404, 409), answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "alpine 3"},
        {"image": "-v/etc:/etc"},
        {"image": "alpine:3\n"},
        {"image": "x" * 1025},
        {"image": "$(reboot)"},
        {"mode": "vnc"},
        {"mode": "ssh", "args": ["sleep", "1"]},
        {"mode": "jupyter", "args": None, "entrypoint": ["sh"]},
        {"mode": "ssh", "args": None, "jupyter_via": "proxy"},
        {"mode": "jupyter", "args": None, "jupyter_via": "both"},
        {"jupyter_via": "proxy"},
        {"ports": ["22/tcp"]},
        {"ports": [{"container": 0, "protocol": "tcp"}]},
        {"ports": [{"container": 65_536, "protocol": "tcp"}]},
        {"ports": [{"container": 80, "protocol": "sctp"}]},
        {"ports": [{"container": 80, "protocol": "tcp", "host": 80}]},
        {"ports": [{"container": 80, "protocol": "tcp"}, {"container": 80}]},
        {"ports": [{"container": each} for each in range(1, 34)]},
        {"mode": "ssh", "args": None, "ports": [{"container": 10_022, "protocol": "tcp"}]},
        {"mode": "jupyter", "args": None, "ports": [{"container": 10_088, "protocol": "tcp"}]},
        {"ssh_keys": ["ssh-ed25519 AAAA"]},
        {"ssh_keys": [make_line(1)]},
        {"mode": "ssh", "args": None, "ssh_keys": ["ssh-ed25519 AAAA"]},
        {"mode": "ssh", "args": None, "ssh_keys": [f'command="reboot" {make_line(1)}']},
        {"mode": "ssh", "args": None, "ssh_keys": [f"{make_line(1)}\n{make_line(2)}"]},
        {"mode": "ssh", "args": None, "ssh_keys": [make_line(number) for number in range(17)]},
        {"mode": "ssh", "args": None, "ssh_keys": make_line(1)},
        {"onstart": "echo"},
        {"login": {"username": "u"}},
        {"login": {"username": "u\0", "password": "p"}},
        {"env": {"NVIDIA_VISIBLE_DEVICES": "all"}},
        {"env": {"LD_PRELOAD": "x"}},
        {"env": {"ld_preload": "x"}},
        {"env": {"A=B": "x"}},
        {"env": {"A": "\0"}},
        {"env": {"A": 1}},
        {"env": {f"A{each}": "x" * 4000 for each in range(9)}},
        {"args": ["\0"]},
        {"args": ["\x01" * 4096] * 50},
        {"args": ["x" * 4097]},
        {"args": "sleep 1"},
        {"disk_gib": 0},
        {"disk_gib": "10"},
        {"disk_gib": True},
        {"disk_gib": 10.5},
        {"duration_s": 0},
        {"duration_s": -1},
        {"instances": 0},
        {"instances": 2},
        {"offer_id": 1 << 53},
        {"label": "x" * 257},
        {"label": "\0"},
        {"unknown": 1},
    ],
)
def test_what_exceeds_a_limit_is_400(site: Site, changes: dict[str, Any]) -> None:
    answer = site.rent(body=site.wish(**changes))
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_a_whole_number_may_be_written_as_one_with_a_fraction_of_zero(site: Site) -> None:
    text = json.dumps(site.wish()).replace('"disk_gib": 10', '"disk_gib": 10.0')
    assert site.rent(body=text).body["share"]["disk_bytes"] == 10 << 30


def test_a_registry_login_is_sealed_and_shown_nowhere(site: Site) -> None:
    login = {"server": "r.example", "username": "u", "password": "pa55-planted"}
    answer = site.rent(body=site.wish(image="r.example/team/app:1", login=login))
    assert answer.status == 201
    assert "planted" not in answer.text


@pytest.mark.parametrize(
    ("image", "server"),
    [
        ("r.example/app:1", ""),
        ("r.example/app:1", "https://r.example/v2/"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000"),
        ("alpine:3", "docker.io"),
        ("index.docker.io/team/app:1", "https://index.docker.io/v1/"),
    ],
)
def test_a_login_for_the_images_registry_is_taken(site: Site, image: str, server: str) -> None:
    login = {"server": server, "username": "u", "password": "p"}
    assert site.rent(body=site.wish(image=image, login=login)).status == 201


@pytest.mark.parametrize(("image", "server"), [("team/app:1", "r.example"), ("r.example/app:1", "other.example")])
def test_a_password_is_not_taken_for_another_registry_than_its_own(site: Site, image: str, server: str) -> None:
    login = {"server": server, "username": "u", "password": "pa55-planted"}
    answer = site.rent(body=site.wish(image=image, login=login))
    assert (answer.status, answer.code) == (409, "conflict")
    assert "another registry" in answer.body["error"]["message"]
    assert "planted" not in answer.text


def test_unicode_is_welcome_where_text_is(site: Site) -> None:
    body = site.rent(body=site.wish(label="Zoë 🚀 \u202e", env={"GREETING": "你好"}, args=["échø"])).body
    assert body["label"] == "Zoë 🚀 \u202e"


def test_a_machine_that_claims_an_endless_id_is_401(site: Site) -> None:
    token = site.machine.sign_request("/v1/host/manifest", b"{}", site.now, iss="9" * 3000)
    headers = {"authorization": f"Machine {token}"}
    with Stubber(wiring.client("dynamodb")) as stub:
        stub.add_client_error("get_item", "ValidationException", "Size of hashkey has exceeded the maximum size limit")
        answer = call(api_machine.handler, "POST", "/v1/host/manifest", "{}", headers=headers)
    assert (answer.status, answer.code) == (401, "unauthenticated")


def test_a_deep_or_endless_cursor_is_400(site: Site) -> None:
    for cursor in ("W" * 8000, "W1tb" * 2000, "=", "\x00"):
        query = {"cursor": cursor}
        refused(call(api_contracts.handler, "GET", "/v1/contracts", caller=site.client, query=query))
        refused(call(api_offers.handler, "GET", "/v1/offers", caller=site.client, query=query))


def test_a_route_that_does_not_exist_is_404_in_our_shape() -> None:
    answer = call(api_root.handler, "GET", "/v2/anything")
    assert (answer.status, answer.code) == (404, "not_found")
    assert call(api_root.handler, "GET", "/v1/health").body == {"status": "ok"}


def test_a_dependency_that_fails_is_a_500_without_any_text_of_it(site: Site) -> None:
    with Stubber(wiring.client("dynamodb")) as stub:
        stub.add_client_error("get_item", "InternalServerError", "table arn:aws:secret")
        answer = site.on_contract("GET", 5)
    assert (answer.status, answer.code) == (500, "internal")
    assert "arn:aws" not in answer.text


def test_a_fault_of_ours_is_a_500_in_our_shape_too(site: Site) -> None:
    key = contract_key(ContractId(5))
    wiring.store().table.transact([Guarded(key, {"pk": key[0], "sk": key[1], "v": 1, "rev": 1, "grace_s": 5})])
    answer = site.on_contract("GET", 5)
    assert (answer.status, answer.code) == (500, "internal")
    assert "grace_s" not in answer.text
