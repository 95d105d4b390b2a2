"""Who may do what: every operation of the API's description, asked by everybody, and the answer that its security and
one rule require. Not yours is not there.

A new route is asked too. It needs an entry here only for a body that it requires, or a new kind of thing in its path.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rental.api.document import build_document
from tests.fakes.authority import make_csr
from tests.fakes.documented import check_documented
from tests.fakes.machine import tunnel_key_of
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site
from tests.handlers.ordinary import (
    call_of,
    called,
    certificate_body,
    let_host_reply,
    open_to_ssh,
    to_install,
    to_lose,
)
from tests.handlers.scene import REGISTRATION_SECRET, Caller, Scene, everything_kept
from tests.handlers.test_machine_api import INVENTORY, rotation

DOCUMENT = build_document()
OPERATIONS = {
    each["operationId"]: (method.upper(), path, each)
    for path, methods in DOCUMENT["paths"].items()
    for method, each in methods.items()
}
CSR = make_csr()
NOT_OF_THIS_HOST = 409
"""To machines, another host's contract is `not_current`, like one that is over: either way they start nothing."""
NO_HOST_ANY_MORE = 409


def body_of(operation: str, scene: Scene) -> Any:
    """What is in order to send; an operation that needs no body needs no entry."""
    site = scene.site
    key = site.machine.key
    bodies: dict[str, Any] = {
        "open_contract": site.wish(),
        "add_ssh_key": {"name": "laptop", "public_key": make_line(1 + site.number)},
        "replace_ssh_keys": {"ssh_keys": [make_line(2)]},
        "extend_contract": {"end_at": site.now + 7200},
        "list_for_rent": {"gpu_price_microusd_h": 1, "end_at": site.now + 7200},
        "declare_direct": {"address": "203.0.113.5", "first_port": 20_000, "last_port": 20_999},
        "open_account": {"name": f"newcomer-{site.number}"},
        "fetch": {
            "v": 1,
            "contract_id": scene.contract_id,
            "instance_id": scene.contract_id,
            "generation": 1,
            "token": 1,
        },
        "issue_certificate": certificate_body(scene.contract_id, CSR),
        "manifest": {"v": 1},
        "open_tunnel": {"v": 1, "public_key": tunnel_key_of(site.number * 10 + 1)},
        "run_command": {"command": ["true"]},
        "show_call": {"v": 1, "call_id": call_of(scene.contract_id)},
        "reply": {"v": 1, "call_id": call_of(scene.contract_id), "sealed": "x"},
        "rotate_key": rotation(site.machine, scene.rotated),
        "register": {
            "v": 1,
            "registration_token": f"{scene.joining}.{REGISTRATION_SECRET}",
            "signing_key": key.signing_key,
            "sealing_key": key.sealing_key,
            "inventory": INVENTORY,
        },
    }
    needs_one = OPERATIONS[operation][2].get("requestBody", {}).get("required", False)
    assert operation in bodies or not needs_one, f"{operation} requires a body: say here which"
    return bodies.get(operation)


def expected(operation: str, scene: Scene, caller: Caller) -> int:
    """The status that follows from the description, from who asks, and from whose it is."""
    _, path, described = OPERATIONS[operation]
    success = int(min(described["responses"]))
    alternatives: list[dict[str, list[str]]] = described["security"]
    if not alternatives:
        return success
    if any("machine_token" in each for each in alternatives):
        return for_machine(operation, scene, caller, success)
    roles = {role for each in alternatives for role in each["api_key"]}
    if caller.role is None:
        return 401
    if caller.role not in roles:
        return 403
    for parameter in re.findall(r"\{(\w+)\}", path):
        parties = scene.parties(parameter)
        if parameter == "key_id":
            return for_key(parties, caller, success)
        if parties and caller.account not in {parties[role] for role in roles & set(parties)}:
            return 404
    return success


def for_machine(operation: str, scene: Scene, caller: Caller, success: int) -> int:
    """A machine asks about its own host only: its token names it."""
    if caller.host_id is None:
        return 401
    if caller.is_retired:
        return NO_HOST_ANY_MORE
    about = body_of(operation, scene)
    if caller.host_id != scene.site.host_id and "proof" in about:
        return 401  # a new key's proof names the host
    if caller.host_id != scene.site.host_id and {"contract_id", "call_id"} & set(about):
        return NOT_OF_THIS_HOST
    return success


def for_key(parties: dict[str, str], caller: Caller, success: int) -> int:
    """Keys are managed by those of the same account and role, and by administrators."""
    if caller.role == "admin":
        return success
    if caller.account not in parties.values():
        return 404
    return success if caller.role in parties else 403


def prepared(operation: str, site: Site) -> Scene:
    """Where the operation would succeed, for whom it may."""
    scene = Scene(site)
    called(site, scene.contract_id)
    if operation == "declare_lost":
        to_lose(site)
    if operation == "replace_ssh_keys":
        open_to_ssh(scene.contract_id)
    return scene


def ask(scene: Scene, operation: str, caller: Caller) -> tuple[int, str]:
    """The answer to what is in order; fails the test when it is not as described."""
    method, template, _ = OPERATIONS[operation]
    path = template.format(**scene.paths())
    status, headers, content = scene.ask(method, path, caller, body_of(operation, scene))
    if headers["Content-Type"] == "application/json":
        check_documented(method, path, status, json.loads(content))
    return status, content.decode(errors="replace")


@pytest.fixture(autouse=True)
def surroundings(site: Site, agents: list[str]) -> None:
    agents.append("mi-1")
    to_install(site)
    let_host_reply()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_may_not_is_refused_and_nothing_changes(site: Site, operation: str) -> None:
    scene = prepared(operation, site)
    before = everything_kept()
    for who, caller in scene.callers().items():
        wanted = expected(operation, scene, caller)
        if wanted >= 400:
            status, text = ask(scene, operation, caller)
            assert (who, status) == (who, wanted), text
            assert "hunter2" not in text
    assert everything_kept() == before


@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_may_gets_what_is_theirs(site: Site, operation: str) -> None:
    method, _, described = OPERATIONS[operation]
    scene = prepared(operation, site)
    changes = method != "GET" and described["security"]
    allowed = {who for who, caller in scene.callers().items() if expected(operation, scene, caller) < 400}
    assert allowed
    for who in sorted(allowed):
        status, text = ask(scene, operation, scene.callers()[who])
        assert (who, status) == (who, expected(operation, scene, scene.callers()[who])), text
        scene = prepared(operation, Site().open()) if changes else scene


@pytest.mark.parametrize(
    "operation", [name for name, (_, path, each) in OPERATIONS.items() if "_id}" in path and each["security"]]
)
def test_what_is_not_yours_cannot_be_told_from_what_is_not_there(site: Site, operation: str) -> None:
    scene = Scene(site)
    method, template, _ = OPERATIONS[operation]
    body = body_of(operation, scene)
    keys = dict.fromkeys(("key_id", "ssh_key_id", "fingerprint"), "0" * 64)
    absent = template.format(contract_id=1, host_id=1, offer_id=1, **keys)
    for role in ("client", "host"):
        stranger = scene.callers()[f"stranger as {role}"]
        nowhere = scene.ask(method, absent, stranger, body)
        assert nowhere[0] in (403, 404)
        if expected(operation, scene, stranger) == 404:
            assert scene.ask(method, template.format(**scene.paths()), stranger, body) == nowhere


@pytest.mark.parametrize(
    ("operation", "query", "body", "statuses"),
    [
        ("issue_key", "", {"account": "OWNER"}, {"client": 403, "host": 403, "admin": 201}),
        ("issue_key", "", {"role": "admin"}, {"client": 403, "host": 403, "admin": 201}),
        ("issue_key", "", {"account": "no-one"}, {"client": 403, "host": 403, "admin": 404}),
        ("list_keys", "?account=OWNER", None, {"client": 404, "host": 404, "admin": 200}),
        ("list_keys", "?account=no-one", None, {"client": 404, "host": 404, "admin": 404}),
    ],
)
def test_only_administrators_reach_beyond_their_account_and_role(
    site: Site, operation: str, query: str, body: Any, statuses: dict[str, int]
) -> None:
    scene = Scene(site)
    method, path, _ = OPERATIONS[operation]
    target, sent = json.loads(json.dumps([path + query, body]).replace("OWNER", site.owner.account))
    for role, wanted in statuses.items():
        status, _, content = scene.ask(method, target, scene.callers()[f"client as {role}"], sent)
        assert (role, status) == (role, wanted), content
