"""Each function's first answer: an ordinary event of its own, and the AWS calls that show that it was handled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.bench.rented import API_KEY, CLIENT, CONTRACT, HOST, OFFER, OWNER, RUNNING, TUNNEL_KEY, Rented, bell_record

API_TARGET = 1.7
EVENT_TARGET = 1.35

Event = Mapping[str, Any]
MakeEvent = Callable[[Rented], Event]


@dataclass(frozen=True)
class FirstAnswer:
    """`target` is in CPU times of the bare client; None where the figure is for information."""

    function: str
    what: str
    event: MakeEvent
    calls: tuple[str, ...]
    target: float | None


def _api(function: str, route: str, *calls: str, **details: Any) -> FirstAnswer:
    return FirstAnswer(function, route, lambda _: _request(route, **details), calls, API_TARGET)


def _event(function: str, what: str, event: MakeEvent, *calls: str) -> FirstAnswer:
    return FirstAnswer(function, what, event, calls, EVENT_TARGET)


def _request(
    route: str,
    caller: Mapping[str, str] | None = None,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    **parameters: int | str,
) -> Event:
    """A request as API Gateway hands it on, payload format 2.0; `caller` is what the authorizer found."""
    method, template = route.split()
    path = template.format(**parameters)
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"}
    event = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers or {},
        "requestContext": {"http": http, "requestId": "request", "stage": "$default", "authorizer": {"lambda": caller}},
        "pathParameters": {name: str(value) for name, value in parameters.items()},
        "isBase64Encoded": False,
    }
    return event if body is None else event | {"body": body}


def _fetch(rented: Rented) -> Event:
    body, token = rented.signed_fetch()
    return _request("POST /v1/host/fetch", body=body, headers={"authorization": f"Machine {token}"})


def _heartbeat(rented: Rented) -> Event:
    return {"Records": [{"messageId": "1", "body": json.dumps(rented.report("loading"))}]}


A_CLIENT = {"account": CLIENT, "role": "client"}
A_PROXY = {"account": OWNER, "role": "proxy"}
AN_OWNER = {"account": OWNER, "role": "host"}
RENTAL = json.dumps(
    {"offer_id": OFFER, "image": "alpine:3", "args": ["sleep", "600"], "env": {"A": "b"}, "disk_gib": 10}
)
KEY = {"headers": {"authorization": f"Bearer {API_KEY}"}, "requestContext": {"requestId": "request"}}
ROUTE = {"v": 1, "step": "route", "contract_id": CONTRACT, "run": 1}
TAKEN_IN = ("GetItem", "GetItem", "PutItem", "GetItem", "GetItem", "BatchGetItem", "TransactWriteItems")
"""A report that changes something, up to its commit."""
RENTED = ("GetItem", "GetItem", "GetItem", "TransactWriteItems", "SendMessage", "StartExecution")

ANSWERED = ("GetItem", "GetItem", "TransactWriteItems", "SendMessage", "GetItem")
"""A call to a host that replies at once."""

LED = ("GetItem", "GetItem", "GetItem", "BatchGetItem")
"""Which of a host's instances are led to."""

FIRST_ANSWERS = (
    FirstAnswer("authorizer", "a known key", lambda _: KEY, ("GetItem",), API_TARGET),
    _api("api_root", "GET /v1/health"),
    _api("api_offers", "GET /v1/offers/{offer_id}", "GetItem", "GetItem", caller=A_CLIENT, offer_id=OFFER),
    _api("api_contracts", "GET /v1/contracts/{contract_id}", "GetItem", caller=A_CLIENT, contract_id=CONTRACT),
    _api("api_calls", "GET /v1/contracts/{contract_id}/logs", *ANSWERED, caller=A_CLIENT, contract_id=RUNNING),
    _api("api_hosts", "GET /v1/hosts/{host_id}", "GetItem", "GetItem", "GetItem", caller=AN_OWNER, host_id=HOST),
    _api("api_accounts", "GET /v1/keys", "Query", caller=A_CLIENT),
    _api("api_proxy", "GET /v1/proxy/hosts/{fingerprint}", *LED, caller=A_PROXY, fingerprint=TUNNEL_KEY),
    _api("api_install", "GET /v1/host/install.sh", "GetObject"),
    FirstAnswer("api_machine", "POST /v1/host/fetch", _fetch, ("GetItem", "GetItem"), API_TARGET),
    _api("api_certificates", "GET /v1/ca.crt", "GetItem"),
    _event("step", "route", lambda _: ROUTE, "GetItem"),
    _event("dispatch", "one bell", lambda _: {"Records": [bell_record()]}, "GetItem", "BatchGetItem", "SendCommand"),
    _event(
        "on_instance_changed",
        "a container runs",
        lambda it: it.report("running"),
        *TAKEN_IN,
        "SendTaskSuccess",
        "PutItem",
    ),
    _event("on_heartbeat", "a container loads", _heartbeat, *TAKEN_IN, "PutItem"),
    _event("sweep", "nothing is late", lambda _: {}, "Query", "Scan", "Query"),
    FirstAnswer(
        "api_contracts",
        "POST /v1/contracts",
        lambda _: _request("POST /v1/contracts", caller=A_CLIENT, body=RENTAL),
        RENTED,
        None,
    ),
)
