"""Entry points make the AWS calls that docs/figures.md says and no more: each is time, money and a way to fail."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from infra.entrypoints import WORKERS
from infra.routes import ROUTES
from rental.adapters import wiring
from tests.docs.pages import ROOT, table
from tests.handlers.conftest import Site
from tests.handlers.ordinary import EVENTS, REQUESTS, ask

LISTED = table("docs/figures.md", "entry point")
SERVICES = ("dynamodb", "sqs", "stepfunctions", "ssm", "s3", "kms")
SSM_ANSWERS = {
    "CreateActivation": {"ActivationId": "a" * 36, "ActivationCode": "c" * 20},
    "DescribeInstanceInformation": {"InstanceInformationList": [{"InstanceId": "mi-1"}]},
    "SendCommand": {"Command": {}},
}
"""moto has no hybrid machines."""


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The AWS calls made meanwhile, by what they are called."""
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    def answer_ssm(model: Any, **_: Any) -> Any:
        return AWSResponse("", 200, HTTPHeaders(), None), SSM_ANSWERS[model.name]

    clients = [wiring.client(service) for service in SERVICES]
    for client in clients:
        client.meta.events.register("before-parameter-build", count)
    wiring.client("ssm").meta.events.register("before-call.ssm", answer_ssm)
    yield calls
    for client in clients:
        client.meta.events.unregister("before-parameter-build", count)
    wiring.client("ssm").meta.events.unregister("before-call.ssm", answer_ssm)


def listed(name: str) -> Counter[str]:
    """What the table says: `2 GetItem, Query`, or `none`."""
    parts = re.findall(r"(?:(\d+) )?([A-Z]\w+)", LISTED[name][-1])
    return Counter({call: int(times or 1) for times, call in parts})


def test_every_route_and_every_event_is_listed_and_nothing_else() -> None:
    routes = {f"{route.method} {route.path}" for route in ROUTES}
    assert set(REQUESTS) == routes
    assert {name.split()[0] for name in EVENTS} == {"authorizer", *(entry.name for entry in WORKERS)}
    assert set(LISTED) == {*routes, *EVENTS}


def test_every_step_of_the_machine_is_listed() -> None:
    steps = re.findall(r'"step": "(\w+)"', (ROOT / "statemachines" / "contract.asl.json").read_text())
    assert {f"step {name}" for name in steps} == {name for name in LISTED if name.startswith("step ")}


@pytest.mark.parametrize("route", REQUESTS)
def test_an_ordinary_request_makes_the_calls_that_are_listed(site: Site, route: str) -> None:
    send = ask(route, site)
    with counted() as calls:
        send()
    assert calls == listed(route)


@pytest.mark.parametrize("name", EVENTS)
def test_an_ordinary_event_makes_the_calls_that_are_listed(site: Site, name: str) -> None:
    handle = EVENTS[name](site)
    with counted() as calls:
        handle()
    assert calls == listed(name)
