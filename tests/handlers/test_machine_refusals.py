"""What machines send and nobody believes: each kind is refused, changes nothing, and is counted by one line."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from handlers import api_hosts, api_machine, on_heartbeat, on_instance_changed, refusals
from handlers.reports import MAX_REPORT_BYTES
from rental.adapters import wiring
from rental.api.limits import MAX_BODY_BYTES
from rental.domain.host import Host, HostStatus
from rental.domain.ids import HostId
from rental.domain.refusal import Why
from tests.fakes.http import Answer, call, make_event
from tests.fakes.machine import Machine
from tests.handlers.conftest import Site, reported
from tests.handlers.scene import REGISTRATION_SECRET, everything_kept
from tests.handlers.test_machine_api import register_body, rotation

Lines = list[logging.LogRecord]
Detail = Callable[[Site, int], dict[str, Any]]


def refused(lines: Lines) -> list[str]:
    return [each.__dict__["why"] for each in lines if each.getMessage() == refusals.LINE]


def state(contract_id: int) -> dict[str, Any]:
    return {"instances": [reported(contract_id)], "gpus": []}


def quarantine(site: Site) -> None:
    """Two starts of its daemon have used the same number."""
    for boot_id in ("boot-1", "boot-2"):
        on_instance_changed.handler(site.event([], seq=7, boot_id=boot_id), None)


def revoke(site: Site) -> None:
    assert call(api_hosts.handler, "POST", f"/v1/hosts/{site.host_id}/revoke", caller=site.owner).status == 200


def tampered(site: Site, contract_id: int) -> dict[str, Any]:
    """Signed by the host, then changed on the way."""
    detail = site.machine.sign_report(state(contract_id), 1, site.now)
    header, _, signature = detail["jws"].split(".")
    payload = site.machine.sign_report(state(contract_id), 2, site.now)["jws"].split(".")[1]
    return detail | {"jws": f"{header}.{payload}.{signature}"}


REPORTS: dict[str, tuple[Why, Detail]] = {
    "nothing": (Why.MALFORMED, lambda site, _: {}),
    "no token": (Why.FORGED, lambda site, _: {"host_id": site.host_id, "jws": "a.b.c"}),
    "of no host": (
        Why.UNKNOWN_HOST,
        lambda site, contract: Machine(10**9).sign_report(state(contract), 1, site.now),
    ),
    "signed with a key of the sender's making": (
        Why.OTHER_KEY,
        lambda site, contract: Machine(site.host_id).sign_report(state(contract), 1, site.now),
    ),
    "signed with a key of the sender's making under the host's name for its own": (
        Why.FORGED,
        lambda site, contract: {
            "host_id": site.host_id,
            "jws": Machine(site.host_id).sign({"host_id": site.host_id}, kid=site.machine.key.key_id),
        },
    ),
    "changed on the way": (Why.FORGED, tampered),
    "of another host, in this one's envelope": (
        Why.OTHER_KEY,
        lambda site, contract: (
            Site().open().machine.sign_report(state(contract), 1, site.now) | {"host_id": site.host_id}
        ),
    ),
    "about another host": (
        Why.FOREIGN,
        lambda site, contract: site.machine.sign_report(state(contract), 1, site.now, host_id=5),
    ),
    "from the past": (Why.STALE, lambda site, contract: site.machine.sign_report(state(contract), 1, site.now - 121)),
    "from the future": (Why.STALE, lambda site, contract: site.machine.sign_report(state(contract), 1, site.now + 300)),
    "too large": (
        Why.OVERSIZED,
        lambda site, contract: site.machine.sign_report({"instances": ["x" * MAX_REPORT_BYTES]}, 1, site.now),
    ),
    "of another version": (
        Why.MALFORMED,
        lambda site, contract: site.machine.sign_report(state(contract), 1, site.now, v=2),
    ),
}


@pytest.mark.parametrize("way", ["change", "heartbeat"])
@pytest.mark.parametrize("what", REPORTS)
def test_a_report_that_is_not_believed_changes_nothing_and_is_counted(
    site: Site, lines: Lines, what: str, way: str
) -> None:
    why, make = REPORTS[what]
    detail = make(site, site.rented())
    before = everything_kept()
    lines.clear()
    deliver(way, detail)
    assert everything_kept() == before
    assert refused(lines) == [why]


@pytest.mark.parametrize("way", ["change", "heartbeat"])
@pytest.mark.parametrize(("put_out", "why"), [(quarantine, Why.QUARANTINED), (revoke, Why.RETIRED)])
def test_a_host_that_was_put_out_is_not_believed(
    site: Site, lines: Lines, put_out: Callable[[Site], None], why: Why, way: str
) -> None:
    contract_id = site.rented()
    put_out(site)
    before = everything_kept()
    lines.clear()
    deliver(way, site.event([reported(contract_id)], seq=9)["detail"])
    assert everything_kept() == before
    assert refused(lines) == [why]


@pytest.mark.parametrize("way", ["change", "heartbeat"])
def test_a_report_that_comes_again_or_too_late_changes_nothing_and_is_counted(
    site: Site, lines: Lines, way: str
) -> None:
    contract_id = site.rented()
    early = site.event([reported(contract_id, "loading")], seq=1)["detail"]
    late = site.event([reported(contract_id)], seq=2)["detail"]
    deliver(way, late)
    before = everything_kept()
    lines.clear()
    for detail in (late, early):
        deliver(way, detail)
    assert everything_kept() == before
    assert refused(lines) == [Why.REPEATED] * 2


def deliver(way: str, detail: dict[str, Any]) -> None:
    if way == "change":
        on_instance_changed.handler({"detail": detail}, None)
    else:
        record = {"messageId": "m", "body": json.dumps({"detail": detail})}
        assert on_heartbeat.handler({"Records": [record]}, None) == {"batchItemFailures": []}


def ask(site: Site, body: Any, path: str = "/v1/host/manifest", machine: Machine | None = None, **claims: Any) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    token = (machine or site.machine).sign_request(path, text.encode(), site.now, **claims)
    return call(api_machine.handler, "POST", path, text, headers={"authorization": f"Machine {token}"})


def fetch(site: Site, contract_id: int, machine: Machine | None = None, **changes: int) -> Any:
    body = {"v": 1, "contract_id": contract_id, "instance_id": contract_id, "generation": 1, "token": 1} | changes
    return ask(site, body, "/v1/host/fetch", machine)


def without_token(site: Site, _: int) -> Any:
    return call(api_machine.handler, "POST", "/v1/host/manifest", {"v": 1}, headers={"authorization": "Bearer x"})


def for_another_body(site: Site, _: int) -> Any:
    token = site.machine.sign_request("/v1/host/manifest", b'{"v":1}', site.now)
    headers = {"authorization": f"Machine {token}"}
    return call(api_machine.handler, "POST", "/v1/host/manifest", '{"v":1, "more": 1}', headers=headers)


def of_an_ended_contract(site: Site, contract_id: int) -> Any:
    site.on_contract("DELETE", contract_id)
    return fetch(site, contract_id)


def with_a_key_for_another_host(site: Site, _: int) -> Any:
    return ask(site, rotation(site.machine, Machine(5), iss="5"), "/v1/host/key")


def register(site: Site, secret: str = REGISTRATION_SECRET, machine: Machine | None = None, **host: Any) -> Any:
    """Join with the token of a host that waits, unless `host` says otherwise."""
    host_id = HostId(site.number * 1000 + 999)
    digest = hashlib.sha256(REGISTRATION_SECRET.encode()).hexdigest()
    waiting = Host(host_id, "owner", "", HostStatus.REGISTERING, site.now, digest, site.now + 60, "activation")
    wiring.store().create_host(replace(waiting, **host))
    body = register_body(machine or Machine(host_id), f"{host_id}.{secret}")
    return lambda: call(api_machine.handler, "POST", "/v1/host/register", body)


REQUESTS: dict[str, tuple[Why, Callable[[Site, int], Any]]] = {
    "no machine token": (Why.NO_TOKEN, without_token),
    "a token of nothing": (
        Why.MALFORMED,
        lambda site, _: call(
            api_machine.handler, "POST", "/v1/host/manifest", {"v": 1}, headers={"authorization": "Machine a.b.c"}
        ),
    ),
    "the token of no host": (Why.UNKNOWN_HOST, lambda site, _: ask(site, {"v": 1}, machine=Machine(10**9))),
    "another host's key": (Why.OTHER_KEY, lambda site, contract: fetch(site, contract, Machine(site.host_id))),
    "another host's contract": (Why.FOREIGN, lambda site, _: fetch(site, Site().open().rented())),
    "a token for another body": (Why.OTHER_REQUEST, for_another_body),
    "a token for another path": (Why.OTHER_REQUEST, lambda site, _: ask(site, {"v": 1}, htu="/v1/host/fetch")),
    "an old token": (Why.STALE, lambda site, _: ask(site, {"v": 1}, iat=1, exp=61)),
    "a token that lives for a day": (Why.STALE, lambda site, _: ask(site, {"v": 1}, exp=site.now + 86_400)),
    "an old lease": (Why.NOT_CURRENT, lambda site, contract: fetch(site, contract, token=2)),
    "an old generation": (Why.NOT_CURRENT, lambda site, contract: fetch(site, contract, generation=2)),
    "an ended contract": (Why.OVER, of_an_ended_contract),
    "a body of nothing": (Why.MALFORMED, lambda site, _: ask(site, "[]")),
    "a body that is too large": (Why.OVERSIZED, lambda site, _: ask(site, "x" * (MAX_BODY_BYTES + 1))),
    "a key for another host": (Why.OTHER_REQUEST, with_a_key_for_another_host),
}
REGISTRATIONS: dict[str, tuple[Why, Callable[[Site], Callable[[], Answer]]]] = {
    "an unknown token": (Why.UNKNOWN_TOKEN, lambda site: register(site, secret="guessed")),
    "an expired token": (Why.EXPIRED_TOKEN, lambda site: register(site, registration_expires_at=site.now)),
    "a used token": (
        Why.USED_TOKEN,
        lambda site: register(site, machine_key=Machine(5).key, status=HostStatus.ACTIVE),
    ),
    "the token of a host that was given up": (Why.RETIRED, lambda site: register(site, status=HostStatus.LOST)),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_that_is_not_believed_changes_nothing_and_is_counted(site: Site, lines: Lines, what: str) -> None:
    why, make = REQUESTS[what]
    contract_id = site.rented()
    if why is Why.OVER:
        site.on_contract("DELETE", contract_id)
    before = everything_kept()
    lines.clear()
    answer = make(site, contract_id)
    assert answer.status in (400, 401, 409)
    assert refused(lines) == [why]
    if why is not Why.FOREIGN:  # there, somebody else rents meanwhile
        assert everything_kept() == before


@pytest.mark.parametrize("what", REGISTRATIONS)
def test_a_registration_that_is_not_believed_changes_nothing_and_is_counted(
    site: Site, agents: list[str], lines: Lines, what: str
) -> None:
    why, make = REGISTRATIONS[what]
    agents.append("mi-1")
    send = make(site)
    before = everything_kept()
    assert send().status in (401, 409)
    assert everything_kept() == before
    assert refused(lines) == [why]
    assert REGISTRATION_SECRET not in str([each.__dict__ for each in lines])


def test_a_machine_that_comes_before_its_agent_is_no_refusal(site: Site, agents: list[str], lines: Lines) -> None:
    assert register(site)().code == "busy"
    assert refused(lines) == []


def test_the_line_names_the_host_and_no_token(site: Site, lines: Lines) -> None:
    token = site.machine.sign_request("/v1/host/manifest", b"{}", site.now)
    event = make_event("POST", "/v1/host/manifest", '{"v":1}', headers={"authorization": f"Machine {token}"})
    api_machine.handler(event, object())
    (line,) = [each for each in lines if each.getMessage() == refusals.LINE]
    assert (line.__dict__["host_id"], line.__dict__["path"]) == (site.host_id, "/v1/host/manifest")
    assert token.split(".")[2] not in str(line.__dict__)


def test_every_reason_is_met_here() -> None:
    met = {why for why, _ in (*REPORTS.values(), *REQUESTS.values(), *REGISTRATIONS.values())}
    assert met | {Why.QUARANTINED, Why.RETIRED, Why.REPEATED} == set(Why)
