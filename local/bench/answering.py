"""`GET /v1/contracts/{id}` through the front door, beside an empty function of the same API, taking turns.

The empty function has the runtime, layer, size, role and authorizer of the one that answers, and logs one line too:
what differs is our code and the one item that it reads.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from local.bench.figures import Figure
from local.client import wait_until
from local.images import BUSYBOX
from local.site import Running

MEASURED = "GET /v1/contracts/{contract_id}"
EMPTY = "GET /bench/empty"
NAME = "gpulease-bench-empty"
SOURCE = Path(__file__).with_name("empty_function.py")
WARM_UP = 20
TURNS = 200
TARGET = 2.0


@dataclass(frozen=True)
class Answers:
    """Seconds to an answer, one entry per turn."""

    contract: list[float]
    empty: list[float]


def figures(site: Running) -> list[Figure]:
    print(f"Answers, {TURNS} turns …")
    answers = measure(site, TURNS)
    contract, empty = median(answers.contract), median(answers.empty)
    return [
        Figure(MEASURED, contract * 1000, None, "ms"),
        Figure("an empty function", empty * 1000, None, "ms"),
        Figure("an answer, over an empty function", contract / empty, TARGET),
    ]


def measure(site: Running, turns: int) -> Answers:
    """Ask for a running contract and for nothing, in turns; the first ones, which start functions, do not count."""
    offer = next(each for each in site.client.get("/v1/offers")["items"] if each["num_gpus"] == 1)
    body = {"offer_id": offer["id"], "image": BUSYBOX, "args": ["sleep", "600"], "disk_gib": 1, "duration_s": 600}
    path = f"/v1/contracts/{site.client.post('/v1/contracts', body)['id']}"
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "active", "The contract")
    answers = Answers([], [])
    with _empty_function(site):
        for turn in range(turns + WARM_UP):
            contract, empty = _timed(lambda: site.client.get(path)), _timed(lambda: site.client.get("/bench/empty"))
            if turn >= WARM_UP:
                answers.contract.append(contract)
                answers.empty.append(empty)
    site.client.delete(path)
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "deleted", "The end")
    return answers


def _timed(ask: Callable[[], Any]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


@contextmanager
def _empty_function(site: Running) -> Iterator[None]:
    """The function and its route beside the stack's own, for as long as this lasts."""
    functions, apis = site.cloud.client("lambda"), site.cloud.client("apigatewayv2")
    (api,) = apis.get_apis()["Items"]
    twin = next(each for each in apis.get_routes(ApiId=api["ApiId"])["Items"] if each["RouteKey"] == MEASURED)
    function = functions.create_function(**_like(functions), FunctionName=NAME, Code={"ZipFile": _code()})
    integration = apis.create_integration(
        ApiId=api["ApiId"],
        IntegrationType="AWS_PROXY",
        IntegrationUri=function["FunctionArn"],
        PayloadFormatVersion="2.0",
    )
    route = apis.create_route(
        ApiId=api["ApiId"],
        RouteKey=EMPTY,
        Target=f"integrations/{integration['IntegrationId']}",
        AuthorizationType=twin["AuthorizationType"],
        AuthorizerId=twin["AuthorizerId"],
    )
    try:
        yield
    finally:
        apis.delete_route(ApiId=api["ApiId"], RouteId=route["RouteId"])
        apis.delete_integration(ApiId=api["ApiId"], IntegrationId=integration["IntegrationId"])
        functions.delete_function(FunctionName=NAME)


def _like(functions: Any) -> dict[str, Any]:
    """The settings of the function that answers, for its empty twin."""
    pages = functions.get_paginator("list_functions").paginate()
    listed = (each for page in pages for each in page["Functions"])
    twin = next(each for each in listed if each["Handler"] == "handlers.api_contracts.handler")
    same = {name: twin[name] for name in ("Runtime", "Architectures", "MemorySize", "Timeout", "Role", "Environment")}
    layers = [each["Arn"] for each in twin["Layers"]]
    return same | {"Layers": layers, "TracingConfig": {"Mode": "Active"}, "Handler": f"{SOURCE.stem}.handler"}


def _code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(SOURCE, SOURCE.name)
    return buffer.getvalue()
