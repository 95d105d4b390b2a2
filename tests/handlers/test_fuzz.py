"""The handlers keep the word of the API's description, whatever they are sent: every check of a fuzzer, none off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers import on_instance_changed
from rental.adapters import wiring
from rental.adapters.items import Guarded, principal_key
from rental.api.operations import OPERATIONS
from rental.ports import Principal
from tests.fakes.fuzzing import Caller, Outcome, every_check, fuzz
from tests.fakes.gateway import Response, answer_of, serve
from tests.handlers.conftest import Site, reported
from tests.handlers.ordinary import let_host_reply, to_install, to_lose

FUZZER = Principal("fuzzer", "admin")
SELDOM_MET = {"register", "fetch", "rotate_key", "show_call", "reply", "issue_certificate", "show_ports"}
"""These ask for a token, a proof or a name that fits what is now: a fuzzer finds one now and then."""


@pytest.fixture
def url(site: Site, agents: list[str]) -> Iterator[str]:
    """A market with contracts of the fuzzer's, on hosts of its own and on others; one of its own is silent."""
    agents.append("mi-1")
    let_host_reply()
    to_install(site)
    for owner in (site.owner, site.owner, FUZZER, FUZZER):
        other = Site()
        other.owner, other.client = owner, FUZZER
        rent_running(other.open())
    to_lose(other)
    with serve() as served:
        yield served


@pytest.fixture
def caller(site: Site) -> Caller:
    """An administrator with a host of its own, and that host's machine."""
    mine = Site()
    mine.owner = mine.client = FUZZER
    rent_running(mine.open())
    return Caller(let_in(FUZZER), mine.machine.sign_request)


def test_whatever_is_sent_is_answered_as_described(url: str, caller: Caller) -> None:
    outcome = fuzz(url, caller)
    assert_nothing_found(outcome)
    routes = {each.name: f"{each.method} {each.path}" for each in OPERATIONS}
    assert {operation for operation, _ in outcome.answered} == set(routes.values())
    assert set(outcome.checked) == every_check()
    missed = {name for name, route in routes.items() if route not in outcome.succeeded()} - SELDOM_MET
    changes = {each.name for each in OPERATIONS if each.method != "GET" and "{" in each.path}
    assert missed <= {*changes, "show_jupyter"}  # of what is in the right state, or of the right mode, for just that
    assert len(missed) < len(changes) / 2


@pytest.mark.slow
def test_what_one_client_may_read_another_may_not(url: str, site: Site, tmp_path: Path) -> None:
    site.rented()
    keys = {name: let_in(Principal(name, "client")) for name in (site.client.account, "stranger")}
    people = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
        for name, key in keys.items()
    ]
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"auth": people}))
    outcome = fuzz(
        url,
        {"wfc": {"path": str(path), "peers": [*keys]}},
        examples=20,
        only=("list_contracts", "show_contract", "open_contract", "list_timeline", "stop_contract"),
    )
    assert_nothing_found(outcome)
    assert "GET /v1/contracts/{contract_id}" in outcome.succeeded()


@pytest.mark.parametrize(
    ("fault", "found"),
    [("status 500", "ServerError"), ("status 418", "UndefinedStatusCode"), ("field lost", "JsonSchemaError"),
     ("field of text", "JsonSchemaError"), ("as text", "UndefinedContentType"), ("no key", "IgnoredAuth"),
     ("takes all", "AcceptedNegativeData"), ("takes none", "RejectedPositiveData"),
     ("any method", "UnsupportedMethodResponse")],
)  # fmt: skip
def test_a_service_that_breaks_its_word_is_found_out(url: str, caller: Caller, fault: str, found: str) -> None:
    def broken(method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        answered = answer_of(method, target, headers, body)
        return break_word(fault, answered) if target.startswith(("/v1/keys", "/v1/accounts")) else answered

    with serve(broken) as served:
        outcome = fuzz(served, caller, examples=5, only=("list_keys", "open_account"))
    assert any(finding.startswith(f"{found} ") for finding in outcome.findings), outcome.findings


def break_word(fault: str, answered: Response) -> Response:
    status, headers, content = answered
    body = json.loads(content)
    match fault:
        case "status 500" | "status 418":
            return int(fault[-3:]), headers, content
        case "field lost":
            body.pop("next", None)
        case "field of text":
            body["next"] = 7
        case "as text":
            return status, headers | {"Content-Type": "text/plain"}, content
        case "no key" if status == 401:
            return 200, headers, b'{"items":[],"next":null}'
        case "takes all" if status == 400:
            return 200, headers, b'{"items":[],"next":null}'
        case "takes none" if status == 201:
            return 400, headers, content
        case "any method" if status == 405:
            return 200, headers, content
    return status, headers, json.dumps(body).encode()


def rent_running(site: Site) -> None:
    contract_id = site.rented(mode="jupyter", args=None)
    on_instance_changed.handler(site.event([reported(contract_id)]), None)


def let_in(principal: Principal) -> str:
    """A new key of this account and role."""
    secret = f"key-of-{principal.account}"
    key = principal_key(hashlib.sha256(secret.encode()).hexdigest())
    item = {"pk": key[0], "sk": key[1], "v": 1, "account": principal.account, "role": principal.role}
    wiring.store().table.transact([Guarded(key, item)])
    return secret


def assert_nothing_found(outcome: Outcome) -> None:
    assert not outcome.findings, "\n\n".join(outcome.findings[:20])
