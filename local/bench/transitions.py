"""How many state transitions one plain rental takes, counted in the execution's history, retries left out."""

from __future__ import annotations

from local.bench.figures import Figure
from local.client import wait_until
from local.images import BUSYBOX
from local.site import Running

DURATION_S = 8
TARGET = 14


def figures(site: Running) -> list[Figure]:
    return [Figure("state transitions of a plain rental", count(site), TARGET)]


def count(site: Running) -> int:
    """Rent for a few seconds, wait for the deletion after the grace, and count the states entered."""
    offer = next(each for each in site.client.get("/v1/offers")["items"] if each["num_gpus"] == 1)
    body = {
        "offer_id": offer["id"],
        "image": BUSYBOX,
        "args": ["sleep", "600"],
        "disk_gib": 1,
        "duration_s": DURATION_S,
    }
    contract = site.client.post("/v1/contracts", body)
    path = f"/v1/contracts/{contract['id']}"
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "deleted", "The deletion", 60)
    machine = site.cloud.client("stepfunctions")
    execution = site.cloud.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:")
    history = {"executionArn": f"{execution}:c{contract['id']}-1", "maxResults": 1000}
    wait_until(
        lambda: machine.describe_execution(executionArn=history["executionArn"])["status"],
        lambda status: status != "RUNNING",
        "The execution's end",
    )
    events = machine.get_execution_history(**history)["events"]
    return sum(1 for event in events if event["type"].endswith("StateEntered"))
