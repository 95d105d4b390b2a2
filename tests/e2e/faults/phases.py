"""The four phases of a contract's life in which something is killed: what is under way, when, and how it must end.

Each is a generator: it brings a contract to the brink, yields the time in which the kill is to fall, and, once all
has come to rest, looks whether the contract is where it should be.
"""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import docker

from local.client import wait_until
from tests.e2e.faults.site import FaultSite
from tests.e2e.renting import offer_of, request_for
from tests.fakes.planting import plant

KEEPS_A_FILE = "test -e /kept || cat /proc/sys/kernel/random/uuid > /kept"
SLOW_TO_STOP = ["sh", "-c", f"{KEEPS_A_FILE}; trap 'sleep 0.5; exit' TERM; sleep 3600 & wait"]
SHORT_S = 6
"""The duration of a contract whose end a test waits for."""


@dataclass(frozen=True)
class Window:
    """Epoch seconds between which the kill falls."""

    opens: float
    closes: float


Phase = Callable[[FaultSite], Iterator[Window]]


def provision(faulty: FaultSite) -> Iterator[Window]:
    asked = faulty.request("POST", "/v1/contracts", wish(faulty))
    yield _from_now(1.2)
    contract = show(faulty, asked.result())
    assert (contract["status"], contract["instances"][0]["status"]) == ("active", "running")
    known = faulty.lookout.look().tables.contracts.values()
    assert [each.id for each in known if each.label == contract["label"]] == [contract["id"]], "made once, asked twice"
    end(faulty, contract)


def stop(faulty: FaultSite) -> Iterator[Window]:
    contract = rent(faulty)
    file = read_kept(faulty, contract)
    asked = faulty.request("POST", f"/v1/contracts/{contract['id']}/stop")
    yield _from_now(1.5)
    asked.result()
    contract = show(faulty, contract)
    assert (contract["status"], contract["instances"][0]["status"]) == ("active", "stopped")
    assert read_kept(faulty, contract) == file
    end(faulty, contract)


def expiry(faulty: FaultSite) -> Iterator[Window]:
    contract = rent(faulty, duration_s=SHORT_S)
    file = read_kept(faulty, contract)
    yield Window(contract["end_at"] - 0.5, contract["end_at"] + 1.2)
    contract = show(faulty, contract)
    assert contract["status"] in ("expired", "deleting", "deleted")
    if contract["status"] == "expired":
        assert read_kept(faulty, contract) == file
    else:
        assert time.time() >= contract["delete_after"]
    end(faulty, contract)


def deletion(faulty: FaultSite) -> Iterator[Window]:
    """After the grace, at nobody's request."""
    contract = rent(faulty, duration_s=SHORT_S)
    due = contract["delete_after"]
    yield Window(due - 0.3, due + 1.5)
    assert show(faulty, contract)["status"] == "deleted"


def early_end(faulty: FaultSite) -> Iterator[Window]:
    """The same at the client's wish."""
    contract = rent(faulty)
    asked = faulty.request("DELETE", f"/v1/contracts/{contract['id']}")
    yield _from_now(1.5)
    asked.result()
    assert show(faulty, contract)["status"] == "deleted"


def wish(faulty: FaultSite, **changes: Any) -> dict[str, Any]:
    """A request for one GPU, with a secret of its own and a label that nothing else has."""
    faulty.planted.append(plant("env"))
    unique = {"label": secrets.token_hex(6), "args": SLOW_TO_STOP, "env": {"SECRET": faulty.planted[-1]}}
    return request_for(offer_of(faulty.running.client), **(unique | changes))


def rent(faulty: FaultSite, **changes: Any) -> dict[str, Any]:
    """A contract that runs."""
    made = faulty.request("POST", "/v1/contracts", wish(faulty, **changes)).result()
    seen: dict[str, Any] = wait_until(
        lambda: show(faulty, made), lambda now: now["instances"][0]["status"] == "running", "a running instance", 30
    )
    return seen


def end(faulty: FaultSite, contract: dict[str, Any]) -> None:
    """Nothing more is wanted of it. One that is over already is left alone."""
    if show(faulty, contract)["status"] in ("pending", "active", "expired"):
        faulty.request("DELETE", f"/v1/contracts/{contract['id']}").result()


def show(faulty: FaultSite, contract: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = faulty.running.client.get(f"/v1/contracts/{contract['id']}")
    return shown


def read_kept(faulty: FaultSite, contract: dict[str, Any]) -> bytes:
    """What the container wrote into its disk at its first start."""
    client = docker.APIClient(base_url=faulty.running.docker_host)
    chunks, _ = client.get_archive(f"gpulease-{contract['id']}", "/kept")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        file = archive.extractfile("kept")
        assert file is not None
        return file.read()


def _from_now(seconds: float) -> Window:
    return Window(time.time(), time.time() + seconds)
