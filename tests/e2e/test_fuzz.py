"""The whole service behind its front door keeps the word of its description, to callers of each role."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.machine_key import MachineKey
from local.client import ApiError, Client
from local.site import Running, Site
from rental.domain.access import key_id_of
from tests.e2e.conftest import wait_for_empty_host
from tests.e2e.renting import offer_of, rent, request_for
from tests.fakes.fuzzing import Caller, Outcome, every_check, fuzz

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
EXAMPLES = 50


@pytest.fixture
def admin(running: Running) -> Client:
    return Client(running.cloud.front_url, running.credentials.admin_key)


@pytest.fixture
def people(running: Running, admin: Client) -> Iterator[dict[str, str]]:
    """Keys by name, of accounts that nothing else depends on; what they have rented is ended afterwards."""
    keys: dict[str, str] = {}
    for name, role in (("a-client", "client"), ("b-client", "client"), ("an-owner", "host"), ("an-admin", "admin")):
        if name not in [each["name"] for each in admin.get("/v1/accounts")["items"]]:
            admin.post("/v1/accounts", {"name": name})
        keys[name] = admin.post("/v1/keys", {"account": name, "role": role})["key"]
    yield keys
    for name in ("a-client", "b-client", "an-admin"):
        end_all_of(admin, running, name)
    wait_for_empty_host(running, 120)


def end_all_of(admin: Client, running: Running, account: str) -> None:
    """With a key of its own: the fuzzer may have revoked the others."""
    role = "admin" if account == "an-admin" else "client"
    key = admin.post("/v1/keys", {"account": account, "role": role})["key"]
    client = Client(running.cloud.front_url, key)
    cursor = ""
    while cursor is not None:
        page = client.get(f"/v1/contracts?cursor={cursor}" if cursor else "/v1/contracts")
        for contract in page["items"]:
            if contract["status"] in ("pending", "active", "expired"):
                with contextlib.suppress(ApiError):  # it may fail by itself meanwhile
                    client.delete(f"/v1/contracts/{contract['id']}")
        cursor = page["next"]


@pytest.mark.parametrize("who", ["a-client", "an-owner", "an-admin"])
def test_whatever_is_sent_is_answered_as_described(
    running: Running, site: Site, people: dict[str, str], who: str
) -> None:
    key = MachineKey.load(site.state / "host" / "machine.key")

    def sign(path: str, body: bytes, now: int) -> str:
        return key.sign_request(running.host_id, "POST", path, body, now)

    keys = running.credentials
    own = (keys.admin_key, keys.host_key, keys.client_key, *people.values())
    caller = Caller(people[who], sign, spared=[key_id_of(each) for each in own])
    outcome = fuzz(running.cloud.front_url, caller, examples=EXAMPLES, seed=len(who))
    assert_nothing_found(outcome)
    assert set(outcome.checked) == every_check()
    assert {"GET /v1/health", "POST /v1/host/manifest", "GET /v1/keys"} <= outcome.succeeded()
    assert who != "a-client" or "POST /v1/contracts" in outcome.succeeded()


def test_what_one_client_may_read_another_may_not(running: Running, people: dict[str, str], tmp_path: Path) -> None:
    clients = {name: Client(running.cloud.front_url, people[name]) for name in ("a-client", "b-client")}
    for client in clients.values():
        client.post("/v1/contracts", request_for(offer_of(client)))
    headers: dict[str, Any] = {
        name: [{"name": "Authorization", "value": f"Bearer {client.key}"}] for name, client in clients.items()
    }
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"auth": [{"name": name, "fixedHeaders": each} for name, each in headers.items()]}))
    only = ("list_contracts", "show_contract", "list_timeline", "open_contract", "list_keys")
    auth = {"wfc": {"path": str(path), "peers": [*clients]}}
    outcome = fuzz(running.cloud.front_url, auth, examples=EXAMPLES, only=only)
    assert_nothing_found(outcome)
    assert "GET /v1/contracts/{contract_id}" in outcome.succeeded()


def test_the_service_goes_on_after_all_that(running: Running) -> None:
    assert rent(running)["status"] == "active"


def assert_nothing_found(outcome: Outcome) -> None:
    assert not outcome.findings, "\n\n".join(outcome.findings[:20])
