"""What the end-to-end tests do again and again: rent, wait, look."""

from __future__ import annotations

from typing import Any

from local.client import Client, wait_until
from local.images import BUSYBOX
from local.offers import wait_for_offer
from local.site import Running
from tests.fakes.planting import MARK

OBEDIENT = ["sh", "-c", "trap exit TERM; sleep 3600 & wait"]
"""A program that ends when told to: a bare sleep as first process would wait for Docker's kill."""


def offer_of(client: Client, num_gpus: int = 1) -> dict[str, Any]:
    offers = client.get("/v1/offers")["items"]
    found: dict[str, Any] = next(offer for offer in offers if offer["num_gpus"] == num_gpus)
    return found


def request_for(offer: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Its variables and its password must be planted: the session looks for them everywhere at its end."""
    body = {"offer_id": offer["id"], "image": BUSYBOX, "args": OBEDIENT, "disk_gib": 1, "duration_s": 600} | changes
    told = [*body.get("env", {}).values(), (body.get("login") or {}).get("password", "")]
    assert all(MARK in each or not each for each in told), "plant what is secret: tests/fakes/planting.py"
    return body


def rent(running: Running, num_gpus: int = 1, **changes: Any) -> dict[str, Any]:
    """A contract whose instances run. Waits for a host that is still on its way to the mode."""
    offer = wait_for_offer(running.client, running.owner, mode=changes.get("mode", "args"), num_gpus=num_gpus)
    body = request_for(offer, **changes)
    return wait_for(running, running.client.post("/v1/contracts", body), "active")


def sweep(running: Running) -> None:
    """What the schedule does each minute, now."""
    functions = running.cloud.client("lambda")
    found = [each for page in functions.get_paginator("list_functions").paginate() for each in page["Functions"]]
    name = next(each["FunctionName"] for each in found if each["Handler"] == "handlers.sweep.handler")
    assert "FunctionError" not in functions.invoke(FunctionName=name, Payload=b"{}")


def show(running: Running, contract: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = running.client.get(f"/v1/contracts/{contract['id']}")
    return shown


def wait_for(running: Running, contract: dict[str, Any], status: str, timeout_s: float = 40) -> dict[str, Any]:
    """Wait for a status of the contract."""
    seen: dict[str, Any] = wait_until(
        lambda: show(running, contract), lambda now: now["status"] == status, f"contract {status}", timeout_s
    )
    return seen


def wait_for_instance(running: Running, contract: dict[str, Any], status: str, timeout_s: float = 40) -> dict[str, Any]:
    """Wait for a status of the contract's first instance."""
    seen: dict[str, Any] = wait_until(
        lambda: show(running, contract),
        lambda now: now["instances"][0]["status"] == status,
        f"instance {status}",
        timeout_s,
    )
    return seen
