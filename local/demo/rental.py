"""The rental that the demo plays: each act does one thing as a client or the host's owner would, and looks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import docker

from local.client import ApiError, wait_until
from local.demo.narration import Narrator
from local.demo.readings import Readings, is_alive, read_limits
from local.images import BUSYBOX
from local.leftovers import containers_of, networks_of
from local.site import Running

MIB = 1 << 20
GIB = 1 << 30
USD = 1_000_000
DURATION_S = 45
EXTENSION_S = 5
PATIENCE_S = 240
"""Only guards against waiting for ever: each step takes a second or two."""


class UnexpectedError(Exception):
    """The service did not do what it promises."""


@dataclass
class Rental:
    """One contract from offer to deletion. `site` is the running service, `tell` the narrator."""

    site: Running
    tell: Narrator
    contract: dict[str, Any]
    offer: dict[str, Any]
    duration_s: int = DURATION_S
    _held: int = 0
    """Bytes of disk that are free while the contract has its part."""

    def choose(self) -> None:
        offers = self.site.client.get("/v1/offers")["items"]
        for offer in offers:
            price = offer["price_microusd_h"] / USD
            self.tell.say(
                f"offer {offer['id']}: {offer['num_gpus']} x {offer['gpu_name']}, ${price:.2f}/h, "
                f"disk up to {offer['disk_free_gib']} GiB"
            )
        self.offer = next(offer for offer in offers if offer["num_gpus"] == 1)

    def rent(self) -> None:
        body = {
            "offer_id": self.offer["id"],
            "image": BUSYBOX,
            "args": ["sh", "-c", "trap exit TERM; echo hello from $GREETING; sleep 3600 & wait"],
            "env": {"GREETING": "the rented GPU"},
            "disk_gib": 1,
            "duration_s": self.duration_s,
            "label": "demo",
        }
        self.contract = self.site.client.post("/v1/contracts", body)
        self.tell.say(
            f"contract {self.contract['id']}: {self.contract['status']}, share {self.contract['share']['gpus']}"
        )
        self._wait("running")
        self.tell.say(f"its container runs on GPU {self.contract['gpus'][0]['uuid']}")

    def check_limits(self) -> None:
        share = self.contract["share"]
        read = read_limits(self.site.docker_host, self.contract["id"])
        self.tell.table(_limit_rows(share, self.contract, read))
        if read.memory_baseline != share["memory_baseline_bytes"] // 4096 * 4096 or read.cpu_cap != "none":
            raise UnexpectedError("The kernel's limits are not those of the share.")
        logs = self._docker().containers.get(f"gpulease-{self.contract['id']}").logs().decode().strip()
        self.tell.say(f"its log says: {logs!r}")

    def stop(self) -> None:
        pid = read_limits(self.site.docker_host, self.contract["id"]).pid
        free_before = self._disk_free()
        self.site.client.post(f"/v1/contracts/{self.contract['id']}/stop")
        self._wait("stopped")
        _expect(not is_alive(pid), "the stopped container's process is gone")
        indexes = [offer["gpu_indexes"] for offer in self._offers() if offer["num_gpus"] == 1]
        _expect(indexes == [self.offer["gpu_indexes"]], "its GPU is offered again")
        _expect(self._disk_free() == free_before, "its disk is still held")
        self.tell.say(f"process {pid} is gone, GPU {indexes[0]} is offered again, its disk stays held")

    def start(self) -> None:
        self.site.client.post(f"/v1/contracts/{self.contract['id']}/start")
        self._wait("running")
        read = read_limits(self.site.docker_host, self.contract["id"])
        self.tell.say(f"running again as process {read.pid}, on the same GPU {read.gpus}")

    def extend(self) -> None:
        end_at = self.contract["end_at"] + EXTENSION_S
        extended = self.site.owner.post(f"/v1/contracts/{self.contract['id']}/extend", {"end_at": end_at})
        self.tell.say(f"the end moved by {extended['end_at'] - self.contract['end_at']} s, and the deletion with it")
        self.contract = extended

    def expire(self) -> None:
        """On a machine that is so slow that the grace is over before it is looked at, there is less to show."""
        pid = read_limits(self.site.docker_host, self.contract["id"]).pid
        self._held = self._disk_free()
        self.tell.say(f"waiting {max(0, self.contract['end_at'] - int(time.time()))} s for the end …")
        self._wait("stopped", "removed", timeout_s=self.duration_s + EXTENSION_S + PATIENCE_S)
        _expect(not is_alive(pid), "the expired container's process is gone")
        if self.contract["status"] != "expired":
            self.tell.say("it expired, and its grace went by before this slow machine came to look at it")
            return
        late = time.time() - self.contract["end_at"]
        self.tell.say(f"expired and stopped {late:.1f} s after its end; its data stays until delete_after")
        try:
            self.site.client.post(f"/v1/contracts/{self.contract['id']}/start")
        except ApiError as refusal:
            _expect(refusal.code == "contract_expired", "the refusal is for the expiry")
            self.tell.say(f"start refused: {refusal}")
        else:
            raise UnexpectedError("An expired contract could be started.")

    def delete(self) -> None:
        self.tell.say(f"waiting {max(0, self.contract['delete_after'] - int(time.time()))} s of grace …")
        contract = wait_until(self._show, lambda seen: seen["status"] == "deleted", "The deletion", PATIENCE_S)
        _expect(time.time() >= contract["delete_after"], "nothing was deleted before delete_after")
        client = self._docker()
        _expect(not containers_of(client, self.site.host_id), "the container is gone")
        _expect(not networks_of(client, self.site.host_id), "its network is gone")
        _expect(self._disk_free() > self._held, "its disk is free again")
        self.tell.say("container, network and disk are gone; the contract's life:")
        for event in self.site.client.get(f"/v1/contracts/{contract['id']}/events")["items"]:
            clock = time.strftime("%H:%M:%S", time.gmtime(event["at"]))
            self.tell.say(f"  {clock}  {event['status']:<10} {event['actor']}: {event['cause']}")

    def _wait(self, *statuses: str, timeout_s: float = PATIENCE_S) -> None:
        """For one of them."""
        seen: list[str] = []

        def arrived(contract: dict[str, Any]) -> bool:
            now = contract["instances"][0]["status"]
            if not seen or seen[-1] != now:
                seen.append(now)
            return now in statuses

        self.contract = wait_until(self._show, arrived, f"Instance status {' or '.join(statuses)}", timeout_s)
        self.tell.say("instance: " + " → ".join(seen))

    def _show(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.site.client.get(f"/v1/contracts/{self.contract['id']}")
        return shown

    def _offers(self) -> list[dict[str, Any]]:
        offers: list[dict[str, Any]] = self.site.client.get("/v1/offers")["items"]
        return offers

    def _disk_free(self) -> int:
        return int(self.site.owner.get(f"/v1/hosts/{self.site.host_id}")["disk_free_bytes"])

    def _docker(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.site.docker_host)


def duration_on(started_in_s: float) -> int:
    """Long enough for all acts before the end, also on a machine that takes minutes to start the service."""
    return max(DURATION_S, int(started_in_s / 2))


def _expect(true: bool, what: str) -> None:
    if not true:
        raise UnexpectedError(f"It does not hold that {what}.")


def _limit_rows(share: dict[str, Any], contract: dict[str, Any], read: Readings) -> list[tuple[str, str, str]]:
    weight = f"{read.cpu_weight} under a parent of {read.parent_cpu_weight}, cap {read.cpu_cap}"
    return [
        ("", "promised", "read from the kernel"),
        ("CPU weight", f"{share['cpu_weight_permille'] / 10:.1f}% of the host", weight),
        ("RAM baseline", f"{share['memory_baseline_bytes'] // MIB} MiB", f"{read.memory_baseline // MIB} MiB"),
        ("RAM limit", f"{share['memory_limit_bytes'] // MIB} MiB", f"{read.memory_limit // MIB} MiB"),
        ("/dev/shm", f"{share['shm_bytes'] // MIB} MiB", f"{read.shm_bytes // MIB} MiB"),
        ("processes", str(share["pids"]), str(read.pids)),
        ("disk", f"{share['disk_bytes'] // GIB} GiB", share["disk"]),
        ("GPU", contract["gpus"][0]["uuid"], read.gpus),
    ]
