"""A host signs what it likes: whatever stands in its report, the reports of other hosts are taken."""

import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from handlers import on_heartbeat, on_instance_changed, reports
from rental.adapters import wiring
from tests.handlers.conftest import Site, reported
from tests.handlers.test_machine_api import INVENTORY

EVENT_SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "event.v1.json").read_text())
FAR = {"layers_done": 1, "layers": 3, "done_bytes": 90, "total_bytes": 200}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub2JvZHkncw=="
DEEP = json.loads("[" * 500 + "]" * 500)
WRONG: dict[str, Any] = {
    "null": None,
    "a list": [1],
    "a number": 7,
    "less than nothing": -1,
    "a huge number": 10**40,
    "no number": float("nan"),
    "a text": "x",
    "half a surrogate": "\ud800",
    "a long text": "x" * 100_000,
    "an object": {"a": 1},
    "an empty object": {},
    "a deep list": DEEP,
}
Place = tuple[str | int, ...]


def claims_of(site: Site, contract_id: int) -> dict[str, Any]:
    """With every field of the schema."""
    gpu = {"index": 0, "uuid": "GPU-0000", "status": "held", "token": 1, "instance_id": contract_id, "reason": None}
    known = {"ssh_host_key": HOST_KEY, "onstart_exit_code": 3, "image_digest": f"sha256:{'0' * 64}"}
    said = reported(contract_id, "loading", reason="Pulls.", progress=FAR, started_at=site.now, **known)
    state = {
        "inventory": INVENTORY | {"modes": {"args": None, "ssh": "No."}, "not_ready": ["Docker is too old."]},
        "gpus": [gpu],
        "instances": [said],
        "disk_free_bytes": 1,
        "sweeping": False,
        "ports_in_use": [{"protocol": "tcp", "port": 20_000}],
    }
    return {"v": 1, "host_id": site.host_id, "boot_id": "boot-1", "seq": 1, "sent_at": site.now, "state": state}


def paths_in(value: Any, here: Place = ()) -> Iterator[Place]:
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, each in inside:
        yield (*here, name)
        yield from paths_in(each, (*here, name))


def is_read(path: Place) -> bool:
    """The rest of an inventory counts at registration only."""
    return path[:2] != ("state", "inventory") or path[2:3] in ((), ("modes",), ("not_ready",))


def changed(claims: dict[str, Any], path: Place, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(claims)
    place: Any = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


def odd_details(site: Site, contract_id: int, value: Any) -> Iterator[dict[str, Any]]:
    """The report with one field after the other replaced, and so with its envelope."""
    claims = claims_of(site, contract_id)
    for seq, path in enumerate(filter(is_read, paths_in(claims)), 2):
        odd = changed(claims | {"seq": seq}, path, value)
        yield {"v": 1, "host_id": site.host_id, "jws": site.machine.sign(odd)}
    whole = {"v": 1, "host_id": site.host_id, "jws": site.machine.sign(claims)}
    yield from (whole | {"host_id": value}, whole | {"jws": value})


def record(message_id: str, detail: Any) -> dict[str, Any]:
    return {"messageId": message_id, "body": json.dumps({"detail": detail})}


def is_active(contract_id: int) -> bool:
    contract = wiring.store().read_contract(contract_id)  # type: ignore[arg-type]
    return contract is not None and contract.status == "active"


def test_the_report_that_is_changed_has_every_field_of_the_schema(site: Site) -> None:
    claims = claims_of(site, site.rented())
    jsonschema.validate(claims, EVENT_SCHEMA)
    state = EVENT_SCHEMA["$defs"]["state"]["properties"]
    assert set(claims["state"]) == set(state)
    assert set(claims["state"]["inventory"]) == set(EVENT_SCHEMA["$defs"]["inventory"]["properties"])
    for name in ("instances", "gpus"):
        assert set(claims["state"][name][0]) == set(state[name]["items"]["properties"])


@pytest.mark.parametrize("what", WRONG)
def test_whatever_one_field_holds_the_reports_before_and_behind_are_taken(site: Site, what: str) -> None:
    before, behind, contract_id = Site().open(), Site().open(), site.rented()
    first, last = before.rented(), behind.rented()
    odd = list(odd_details(site, contract_id, WRONG[what]))
    records = [
        record("before", before.event([reported(first)])["detail"]),
        *(record(f"odd-{place}", each) for place, each in enumerate(odd)),
        record("behind", behind.event([reported(last)])["detail"]),
    ]
    assert on_heartbeat.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert is_active(first)
    assert is_active(last)
    assert site.on_contract("GET", contract_id).status == 200


@pytest.mark.parametrize("what", WRONG)
def test_a_change_is_taken_behind_one_whose_report_holds_anything(site: Site, what: str) -> None:
    """Both ways read a report alike: here only its large parts are replaced."""
    contract_id = site.rented()
    claims = claims_of(site, contract_id)
    for path in (("state",), ("state", "inventory"), ("state", "gpus"), ("state", "instances", 0)):
        odd = site.machine.sign(changed(claims, path, WRONG[what]))
        on_instance_changed.handler({"detail": {"v": 1, "host_id": site.host_id, "jws": odd}}, None)
    on_instance_changed.handler(site.event([reported(contract_id)], seq=2), None)
    assert is_active(contract_id)


@pytest.mark.parametrize(
    "body", ["", "{", "7", "[]", "{}", '{"detail": 7}', '{"detail": null}', "[" * 100_000, "9" * 5000, "\ud800"]
)
def test_a_body_that_is_no_report_is_refused_and_not_delivered_again(
    site: Site, body: str, lines: list[logging.LogRecord]
) -> None:
    contract_id = site.rented()
    records = [{"messageId": "odd", "body": body}, record("good", site.event([reported(contract_id)])["detail"])]
    assert on_heartbeat.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert is_active(contract_id)
    assert [line.getMessage() for line in lines] == ["request", "refused", "report"]


def test_a_fault_that_nobody_foresaw_fails_its_own_report_only(
    site: Site, lines: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_id = site.rented()
    odd, read = Site().open(), reports._read

    def break_on_odd(detail: Any, now: int) -> Any:
        if detail["host_id"] == odd.host_id:
            raise AssertionError("of ours")
        return read(detail, now)

    monkeypatch.setattr(reports, "_read", break_on_odd)
    records = [record("odd", odd.event([])["detail"]), record("good", site.event([reported(contract_id)])["detail"])]
    answer = on_heartbeat.handler({"Records": records}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "odd"}]}
    assert is_active(contract_id)
    (said,) = [line for line in lines if line.getMessage() == "report not taken"]
    assert (said.__dict__["kind"], said.__dict__["why"]) == ("AssertionError", "of ours")
