"""/v1/ssh-keys and the keys of a contract, over HTTP: who gets in, and what a person with a stolen key is told."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from handlers import api_accounts, api_machine
from handlers.on_instance_changed import handler as on_instance_changed
from rental.api.ssh_key_schemas import A_KEY
from rental.domain.ssh_key import parse_ssh_key
from rental.ports import Principal
from tests.fakes.hostile import HOSTILE, REFUSED
from tests.fakes.http import Answer, call
from tests.fakes.ssh import make_line
from tests.handlers.conftest import Site, reported
from tests.handlers.scene import everything_kept
from tests.handlers.test_machine_api import validate

LINE = make_line(1, "me@laptop")


def keys(site: Site, method: str, path: str = "", body: Any = None, **details: Any) -> Answer:
    details.setdefault("caller", site.client)
    return call(api_accounts.handler, method, f"/v1/ssh-keys{path}", body, **details)


def add(site: Site, line: str = LINE, name: str = "laptop", **details: Any) -> Answer:
    return keys(site, "POST", body={"name": name, "public_key": line}, **details)


def rented(site: Site, **changes: Any) -> dict[str, Any]:
    """A running contract of mode ssh."""
    answer = site.rent(body=site.wish(**{"mode": "ssh", "args": None, **changes}))
    assert answer.status == 201, answer.text
    on_instance_changed(site.event([reported(answer.body["id"])]), None)
    body: dict[str, Any] = answer.body
    return body


def let_in(site: Site, contract_id: int, *lines: str, **details: Any) -> Answer:
    return site.on_contract("PUT", contract_id, "/ssh-keys", {"ssh_keys": list(lines)}, **details)


def fetched(site: Site, contract_id: int, generation: int) -> Any:
    text = json.dumps(
        {"v": 1, "contract_id": contract_id, "instance_id": contract_id, "generation": generation, "token": 1}
    )
    token = site.machine.sign_request("/v1/host/fetch", text.encode(), site.now)
    headers = {"authorization": f"Machine {token}"}
    answer = call(api_machine.handler, "POST", "/v1/host/fetch", text, headers=headers)
    assert answer.status == 200, answer.text
    validate("fetch.v1.json", {"response": answer.body})
    return answer.body["ssh_keys"]


def test_a_key_as_openssh_writes_it_is_added_and_shown_with_its_fingerprint(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "id"
    command = ["ssh-keygen", "-q", "-N", "", "-C", "me@laptop", "-t", "ed25519", "-f", str(file)]
    subprocess.run(command, check=True)
    line = file.with_suffix(".pub").read_text()
    answer = add(site, line)
    assert answer.status == 201, answer.text
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(file)], check=True, capture_output=True, text=True).stdout
    assert set(answer.body) == {"id", "name", "public_key", "fingerprint", "created_at"}
    assert answer.body["fingerprint"] == shown.split()[1]
    assert (answer.body["name"], answer.body["public_key"]) == ("laptop", line.strip())
    assert keys(site, "GET").body == {"items": [answer.body], "next": None}


def test_a_private_key_is_refused_and_neither_answered_nor_kept(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(file)], check=True)
    private = file.read_text()
    before = everything_kept()
    answer = add(site, private)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert "private key" in answer.body["error"]["message"]
    assert private.splitlines()[1] not in answer.text
    assert everything_kept() == before


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "public_key": LINE},
        {"name": "x" * 257, "public_key": LINE},
        {"name": "x\0", "public_key": LINE},
        {"name": "x"},
        {"name": "x", "public_key": f"no-pty {LINE}"},
        {"name": "x", "public_key": f"{LINE}\n{make_line(2)}"},
        {"name": "x", "public_key": LINE[:-20]},
        {"name": "x", "public_key": f"{LINE}{'x' * 300}"},
        {"name": "x", "public_key": "x" * 4097},
        {"name": "x", "public_key": LINE, "role": "admin"},
    ],
)
def test_what_is_no_public_key_under_a_name_is_400(site: Site, body: Any) -> None:
    assert keys(site, "POST", body=body).code == "invalid_request"


@pytest.mark.parametrize("what", [*HOSTILE, *REFUSED])
def test_a_name_is_kept_as_it_is_and_a_comment_too_or_refused(site: Site, what: str) -> None:
    text = {**HOSTILE, **REFUSED}[what]
    name = "n" + (text[:255] if what in HOSTILE else text)
    named = add(site, name=name)
    assert named.status == (201 if what in HOSTILE else 400), named.text
    assert named.status != 201 or keys(site, "GET").body["items"][0]["name"] == name
    commented = add(site, f"{make_line(2)} c{text}")
    assert commented.status in (201, 400), commented.text
    if commented.status == 201:
        assert commented.body["public_key"] == f"{make_line(2)} c{text}".rstrip()
        assert not re.search(r"[\x00-\x1f\x7f]", commented.body["public_key"])


def test_the_same_key_again_and_one_too_many_are_409(site: Site) -> None:
    for number in range(16):
        assert add(site, make_line(number)).status == 201
    for number in (0, 16):
        answer = add(site, make_line(number, "again"))
        assert (answer.status, answer.code) == (409, "conflict")


def test_a_repeated_request_answers_the_same_key_and_another_body_422(site: Site) -> None:
    once = {"idempotency-key": "once"}
    first = add(site, headers=once)
    assert add(site, headers=once) == first
    assert add(site, make_line(2), headers=once).code == "idempotency_mismatch"


def test_the_list_is_paged_and_a_forged_cursor_is_400(site: Site) -> None:
    added = {add(site, make_line(number)).body["id"] for number in range(3)}
    first = keys(site, "GET", query={"limit": "2"}).body
    last = keys(site, "GET", query={"limit": "2", "cursor": first["next"]}).body
    assert {each["id"] for each in first["items"] + last["items"]} == added
    assert last["next"] is None
    for query in ({"cursor": "x"}, {"limit": "0"}, {"limit": "51"}):
        assert keys(site, "GET", query=query).code == "invalid_request"


def test_anothers_key_is_404_and_a_key_of_the_wrong_role_403(site: Site) -> None:
    key_id = add(site).body["id"]
    for path in (f"/{key_id}", "/x", f"/{'0' * 64}"):
        assert keys(site, "DELETE", path, caller=Principal("someone else", "client")).code == "not_found"
    assert add(site, caller=site.owner).code == "forbidden"
    assert keys(site, "GET").body["items"][0]["id"] == key_id


def test_a_contract_lets_in_copies_of_the_accounts_keys_and_shows_their_fingerprints(site: Site) -> None:
    key = add(site).body
    contract = rented(site)
    add(site, make_line(2))
    assert contract["ssh_keys"] == [{"fingerprint": key["fingerprint"], "comment": "me@laptop"}]
    assert site.on_contract("GET", contract["id"]).body["ssh_keys"] == contract["ssh_keys"]
    assert site.on_contract("GET", contract["id"], caller=site.owner).body["ssh_keys"] == contract["ssh_keys"]
    assert fetched(site, contract["id"], 1) == [LINE]


def test_keys_sent_with_a_rental_get_in_instead_and_each_once(site: Site) -> None:
    add(site)
    contract = rented(site, mode="jupyter", ssh_keys=[make_line(2), f"{make_line(2)} again\n"])
    assert [each["comment"] for each in contract["ssh_keys"]] == [""]
    assert fetched(site, contract["id"], 1) == [make_line(2)]
    assert rented(site, mode="jupyter", ssh_keys=[])["ssh_keys"] == []


def test_mode_ssh_without_any_key_says_what_to_do_and_rents_nothing(site: Site) -> None:
    before = everything_kept()
    nothing: list[dict[str, Any]] = [{}, {"ssh_keys": []}, {"ssh_keys": None}]
    for changes in nothing:
        answer = site.rent(body=site.wish(mode="ssh", args=None, **changes))
        assert (answer.status, answer.code) == (409, "conflict")
        assert "POST /v1/ssh-keys" in answer.body["error"]["message"]
    assert everything_kept() == before


def test_replaced_keys_reach_the_queue_the_host_and_the_timeline(site: Site, deployed: dict[str, str]) -> None:
    contract_id = rented(site, ssh_keys=[LINE])["id"]
    changed = let_in(site, contract_id, make_line(2))
    assert changed.status == 200, changed.text
    assert [each["fingerprint"] for each in changed.body["ssh_keys"]] == [parse_ssh_key(make_line(2)).fingerprint]
    (instance,) = changed.body["instances"]
    assert (instance["status"], instance["generation"]) == ("running", 2)
    assert "asked to replace its SSH keys" in instance["reason"]
    rung = (contract_id, 2)
    assert rung in [(bell["contract_id"], bell["generation"]) for bell in bells(deployed["NORMAL_QUEUE_URL"])]
    assert let_in(site, contract_id, make_line(2)).body == changed.body
    assert bells(deployed["NORMAL_QUEUE_URL"]) == []
    assert fetched(site, contract_id, 2) == [make_line(2)]
    on_instance_changed(site.event([reported(contract_id, generation=2)]), None)
    assert site.on_contract("GET", contract_id).body["instances"][0]["reason"] is None
    events = site.on_contract("GET", contract_id, "/events").body["items"]
    (entry,) = [each for each in events if each["cause"] == "ssh keys replaced"]
    assert (entry["actor"], entry["status"]) == (site.client.account, "active")
    assert parse_ssh_key(make_line(2)).fingerprint in entry["reason"]


def bells(url: str) -> list[dict[str, Any]]:
    """What waits in the queue, taken out of it."""
    found: list[dict[str, Any]] = []
    client = boto3.client("sqs")
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get(
        "Messages", []
    ):
        found += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_what_lets_nobody_in_takes_no_keys(site: Site) -> None:
    args = site.rented()
    assert let_in(site, args, LINE).code == "conflict"
    over = rented(site, ssh_keys=[LINE])["id"]
    site.on_contract("DELETE", over)
    assert let_in(site, over, LINE).code == "contract_over"
    contract_id = rented(site, ssh_keys=[LINE])["id"]
    assert let_in(site, contract_id, "no key").code == "invalid_request"
    assert let_in(site, contract_id, *map(make_line, range(17))).code == "invalid_request"
    assert site.on_contract("PUT", contract_id, "/ssh-keys", {}).code == "invalid_request"
    assert let_in(site, contract_id, LINE, caller=Principal("someone else", "client")).code == "not_found"
    assert let_in(site, contract_id).body["ssh_keys"] == []


def test_who_removes_a_stolen_key_is_told_where_it_gets_in_still_and_can_end_that(site: Site) -> None:
    key_id = add(site).body["id"]
    first, second, other = rented(site)["id"], rented(site)["id"], rented(site, ssh_keys=[make_line(2)])["id"]
    removed = keys(site, "DELETE", f"/{key_id}")
    assert (removed.status, removed.body["id"]) == (200, key_id)
    assert set(removed.body["contracts"]) == {first, second}
    assert keys(site, "GET").body["items"] == []
    for contract_id in (first, second, other):
        assert let_in(site, contract_id, make_line(3)).status == 200
    add(site)
    assert keys(site, "DELETE", f"/{key_id}").body["contracts"] == []
    assert keys(site, "DELETE", f"/{key_id}").status == 404


def test_the_key_in_the_description_is_one(site: Site) -> None:
    assert keys(site, "POST", body=A_KEY).status == 201
