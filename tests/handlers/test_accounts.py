"""/v1/accounts and /v1/keys over HTTP, and the way from a new key to being let in."""

import logging
from typing import Any

import pytest

from handlers import api_accounts, authorizer
from rental.adapters import wiring
from rental.ports import Principal
from tests.fakes.http import Answer, call, make_event
from tests.handlers.conftest import Site

ADMIN = Principal("admin", "admin")
ACCOUNT_FIELDS = {"name", "label", "created_at"}
KEY_FIELDS = {"id", "account", "role", "label", "created_at"}


def ask(method: str, path: str, body: Any = None, caller: Principal | None = ADMIN, **details: Any) -> Answer:
    return call(api_accounts.handler, method, path, body, caller=caller, **details)


def who_is(key: str) -> Any:
    return authorizer.handler(make_event("GET", "/v1/keys", headers={"authorization": f"Bearer {key}"}), None)[
        "context"
    ]


def test_an_account_its_key_and_the_end_of_the_key(site: Site) -> None:
    opened = ask("POST", "/v1/accounts", {"name": "acme", "label": "Acme Inc."})
    assert (opened.status, set(opened.body)) == (201, ACCOUNT_FIELDS)
    assert ask("GET", "/v1/accounts").body == {"items": [opened.body], "next": None}
    issued = ask("POST", "/v1/keys", {"account": "acme", "role": "host", "label": "rack"})
    assert (issued.status, set(issued.body)) == (201, KEY_FIELDS | {"key"})
    secret = issued.body.pop("key")
    assert who_is(secret) == {"account": "acme", "role": "host"}
    listed = ask("GET", "/v1/keys", query={"account": "acme"})
    assert listed.body == {"items": [issued.body], "next": None}
    assert secret not in listed.text
    acme = Principal("acme", "host")
    assert ask("GET", "/v1/keys", caller=acme).body == listed.body
    assert ask("DELETE", f"/v1/keys/{issued.body['id']}", caller=acme).body == issued.body
    assert who_is(secret) == {}
    assert ask("DELETE", f"/v1/keys/{issued.body['id']}", caller=acme).code == "not_found"


def test_without_naming_any_the_key_is_of_the_callers_account_and_role(site: Site) -> None:
    issued = ask("POST", "/v1/keys", caller=site.client).body
    assert (issued["account"], issued["role"]) == (site.client.account, "client")
    assert issued["key"].startswith("gl_client_")


def test_a_new_key_is_neither_logged_nor_kept(site: Site, lines: list[logging.LogRecord]) -> None:
    secret = ask("POST", "/v1/keys", caller=site.client).body["key"]
    assert secret not in str([line.__dict__ for line in lines])
    table = wiring.dynamodb().scan(TableName="table")["Items"]
    assert secret not in str(table)


def test_accounts_are_an_administrators_only(site: Site) -> None:
    for who in (site.client, site.owner):
        assert ask("POST", "/v1/accounts", {"name": "x"}, who).code == "forbidden"
        assert ask("GET", "/v1/accounts", caller=who).code == "forbidden"
    for method, path in (("POST", "/v1/accounts"), ("GET", "/v1/accounts"), ("POST", "/v1/keys"), ("GET", "/v1/keys")):
        assert ask(method, path, {}, None).code == "unauthenticated"
    assert ask("DELETE", f"/v1/keys/{'0' * 64}", caller=None).code == "unauthenticated"


@pytest.mark.parametrize("name", ["", "A", "a b", "a#b", "-a", "service", "host", "x" * 65, "ü", None, 7])
def test_a_name_that_cannot_be_one_is_refused(site: Site, name: object) -> None:
    assert ask("POST", "/v1/accounts", {"name": name}).code == "invalid_request"


@pytest.mark.parametrize("key_id", ["x", "0" * 63, "0" * 64, "G" * 64, "%00", "0" * 5000])
def test_what_is_no_key_is_not_found(site: Site, key_id: str) -> None:
    assert ask("DELETE", f"/v1/keys/{key_id}").code == "not_found"


@pytest.mark.parametrize("account", ["nobody", "", "x" * 5000, "\x00"])
def test_the_keys_of_no_account_are_not_found(site: Site, account: str) -> None:
    assert ask("GET", "/v1/keys", query={"account": account}).code == "not_found"


def test_a_repeated_request_for_a_key_is_told_which_one_the_first_made(site: Site) -> None:
    once = {"idempotency-key": "once"}
    first = ask("POST", "/v1/keys", {"label": "a"}, site.client, headers=once)
    again = ask("POST", "/v1/keys", {"label": "a"}, site.client, headers=once)
    assert (again.status, again.code) == (409, "already_done")
    assert first.body["id"] in again.body["error"]["message"]
    assert ask("POST", "/v1/keys", {"label": "b"}, site.client, headers=once).status == 422


def test_a_repeated_opening_of_an_account_is_answered_alike(site: Site) -> None:
    once = {"idempotency-key": "once"}
    first = ask("POST", "/v1/accounts", {"name": "acme"}, headers=once)
    again = ask("POST", "/v1/accounts", {"name": "acme"}, headers=once)
    assert (again.status, again.body) == (201, first.body)
    assert ask("POST", "/v1/accounts", {"name": "acme"}).code == "conflict"
    assert ask("POST", "/v1/accounts", {"name": "other"}, headers=once).code == "idempotency_mismatch"
