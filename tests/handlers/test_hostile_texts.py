"""A text is taken byte for byte, or refused whole: whatever it holds, and wherever it stands."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from handlers import api_accounts, api_contracts, api_hosts
from rental.adapters import wiring
from rental.domain.ids import ContractId
from rental.ports import Principal
from tests.fakes.hostile import HOSTILE, REFUSED
from tests.fakes.http import Answer, call, make_event
from tests.handlers.conftest import Site
from tests.handlers.scene import everything_kept

ADMIN = Principal("admin", "admin")
LABEL_LENGTH = 256


def sealed(site: Site, contract_id: int) -> dict[str, Any]:
    """What only the host's machine can read."""
    contract = wiring.store().read_contract(ContractId(contract_id))
    assert contract is not None
    assert contract.launch.sealed is not None
    opened: dict[str, Any] = json.loads(site.machine.open(contract.launch.sealed, contract_id))
    return opened


def with_text(field: str, text: str) -> dict[str, Any]:
    """A change of a rental that puts the text there."""
    login = {"server": "r.example", "username": "u", "password": "p"}
    changes: dict[str, dict[str, Any]] = {
        "label": {"label": text},
        "image": {"image": text},
        "mode": {"mode": text},
        "args": {"args": [text]},
        "entrypoint": {"entrypoint": ["sh", text]},
        "env": {"env": {"A": text}},
        "name of env": {"env": {text: "x"}},
        "server": {"login": login | {"server": text}},
        "username": {"login": login | {"username": text}},
        "password": {"login": login | {"password": text}},
        "onstart": {"onstart": text},
        "ports": {"ports": [text]},
        "ssh_keys": {"ssh_keys": [text]},
        "unknown field": {text or "?": 1},
    }
    return changes[field]


FIELDS = (
    *("label", "image", "mode", "args", "entrypoint", "env", "name of env"),
    *("server", "username", "password", "onstart", "ports", "ssh_keys", "unknown field"),
)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_text_that_may_be_sent_reaches_the_host_as_it_is(site: Site, what: str) -> None:
    text = HOSTILE[what]
    sent = {"env": {"A": text}, "entrypoint": ["sh", text], "args": [text, text]}
    login = {"server": "", "username": "u" + text[: LABEL_LENGTH - 1], "password": "p" + text[:4095]}
    label = text[:LABEL_LENGTH]
    contract_id = site.rented(label=label, login=login, **sent)
    assert sealed(site, contract_id) == {"onstart": None, "login": login, **sent}
    assert site.on_contract("GET", contract_id).body["label"] == label


@pytest.mark.parametrize("what", [*HOSTILE, *REFUSED])
def test_a_text_is_taken_whole_or_refused_whole_wherever_it_stands(site: Site, what: str) -> None:
    text = {**HOSTILE, **REFUSED}[what]
    before = everything_kept()
    for field in FIELDS:
        answer = site.rent(body=site.wish(disk_gib=1) | with_text(field, text))
        assert answer.status in (201, 400, 409), (field, answer.text)
        assert what not in REFUSED or answer.status == 400, field
        if answer.status != 201:
            assert everything_kept() == before, field
        else:
            kept = sealed(site, answer.body["id"]) | {"label": answer.body["label"], "image": answer.body["image"]}
            assert with_text(field, text).items() <= kept.items() or field in ("mode", "ports", "ssh_keys"), field
            site.on_contract("DELETE", answer.body["id"])
            before = everything_kept()


def test_a_label_of_anything_else_is_kept_as_it_is_or_refused(site: Site, agents: list[str]) -> None:
    for what, text in {**HOSTILE, **REFUSED}.items():
        asked: list[Answer] = [
            call(api_accounts.handler, "POST", "/v1/accounts", {"name": f"a{len(text)}", "label": text}, caller=ADMIN),
            call(api_accounts.handler, "POST", "/v1/keys", {"label": text}, caller=site.client),
            call(api_hosts.handler, "POST", "/v1/hosts", {"label": text}, caller=site.owner),
        ]
        for answer in asked:
            assert answer.status in ((201, 409) if what in HOSTILE and len(text) <= LABEL_LENGTH else (400,)), what
            assert answer.status != 201 or answer.body["label"] == text, what


def test_a_text_in_a_path_a_query_or_a_key_is_refused_and_changes_nothing(site: Site) -> None:
    before = everything_kept()
    for what, text in {**HOSTILE, **REFUSED}.items():
        for path in (f"/v1/contracts/{text}", f"/v1/contracts/{text}/events"):
            event = make_event("GET", path, caller=site.client) | {"pathParameters": {"contract_id": text}}
            assert api_contracts.handler(event, object())["statusCode"] == 404, what
        for query in ({"cursor": text}, {"limit": text}):
            answer = call(api_contracts.handler, "GET", "/v1/contracts", caller=site.client, query=query)
            assert answer.status == 400, what
        listed = call(api_accounts.handler, "GET", "/v1/keys", caller=site.client, query={"account": text})
        assert listed.status == 404, what
        if not (1 <= len(text) <= 128 and text.isascii() and text.isprintable()):
            assert site.rent(headers={"idempotency-key": text}).status == 400, what
    assert everything_kept() == before


@pytest.mark.parametrize("body", [b"\xff", b'{"label": "\xff"}', b'{"label": "\xed\xa0\x80"}', b"\x80" * 1000])
def test_bytes_that_are_no_text_are_refused(site: Site, body: bytes) -> None:
    before = everything_kept()
    event = make_event("POST", "/v1/contracts", base64.b64encode(body).decode(), caller=site.client)
    result = api_contracts.handler(event | {"isBase64Encoded": True}, object())
    assert result["statusCode"] == 400, result
    assert everything_kept() == before
