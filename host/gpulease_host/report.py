"""The host's whole state, as every event carries it: schemas/event.v1.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gpulease_host.disk_overruns import disk_warning
from gpulease_host.engine import Container
from gpulease_host.gpus import Gpus, holders
from gpulease_host.ledger import Ledger
from gpulease_host.loading import Loading, Said
from gpulease_host.records import HOLDING, Record, Status
from gpulease_host.taken_ports import TakenPorts
from gpulease_host.world import World

MOST_INSTANCES = 400
"""An event may carry 256 KB."""
TOMBSTONES = 50
"""Always said, the newest; the control plane lets a host carry no more than what is left beside them. An older
tombstone that it has not heard of is asked for again, and is then the newest."""
MOST_REASON = 500
"""What a tenant chose may stand in it, and must not make the event too large to be sent."""
UNCLAIMED = "No order and no manifest names it. It is stopped after ten minutes, and kept."


@dataclass(frozen=True)
class Reporter:
    ledger: Ledger
    world: World
    gpus: Gpus
    loading: Loading
    is_sweeping: Callable[[], bool]
    taken_ports: TakenPorts

    def state(self) -> dict[str, Any]:
        view = self.ledger.view()
        used, said = self.world.disk_used_bytes, self.loading.said()
        unclaimed = view.strays.keys() - view.records.keys()
        strays = [each for each in self.world.last_seen if each.instance_id in unclaimed]
        told = foremost(view.records)
        inventory = self.world.inventory
        held = {**_held_by_strays(strays), **holders(view.records)}
        gpus, unfit = self.gpus.report(held, view.fences), self.world.start_faults.of_gpus
        return {
            "inventory": inventory,
            "gpus": [_withheld(each, self.world.docker.fault or unfit.get(each["uuid"])) for each in gpus],
            "instances": [
                *(self._say(record, used.get(each), said.get(each)) for each, record in told),
                *(_say_stray(each, used.get(each.instance_id)) for each in strays[: MOST_INSTANCES - len(told)]),
            ],
            "disk_free_bytes": _disk_free_bytes(inventory["disk_bytes"], view.records.values()),
            "sweeping": self.is_sweeping(),
            "ports_in_use": [{"protocol": protocol, "port": port} for protocol, port in self.taken_ports.look()],
        }

    def _say(self, record: Record, disk_used_bytes: int | None, said: Said | None) -> dict[str, Any]:
        """What it says while it loads counts for nothing else."""
        status, reason = record.status, record.reason
        if self.world.docker.fault is not None and status in HOLDING:
            status, reason, said = _unseen(record), self.world.docker.fault, None
        if record.status != "loading":
            said = None
        reason = reason if said is None else said.sentence
        if status == "running" and reason is None:
            allowed, is_enforced = record.order.limits.disk_bytes, bool(self.world.inventory["disk_enforced"])
            reason = disk_warning(disk_used_bytes, allowed, is_enforced=is_enforced)
        return {
            "contract_id": record.order.contract_id,
            "instance_id": record.order.instance_id,
            "generation": record.applied,
            "token": record.order.token,
            "status": status,
            "reason": None if reason is None else reason[:MOST_REASON],
            "progress": None if said is None else asdict(said.progress),
            "exit_code": record.exit_code,
            "onstart_exit_code": record.onstart_exit_code,
            "image_digest": record.image_digest,
            "started_at": record.started_at,
            "end_at": record.order.end_at,
            "disk_used_bytes": disk_used_bytes,
            "ssh_host_key": self.world.ssh_host_key(record),
        }


def _unseen(record: Record) -> Status:
    """While Docker is without its data, nobody can say that it runs; it will, once the data is back."""
    return "loading" if record.status == "running" and record.order.desired == "running" else record.status


def _withheld(gpu: dict[str, Any], fault: str | None) -> dict[str, Any]:
    """No new contract comes to a machine without its data, or to a GPU on which nothing starts."""
    if fault is None or gpu["status"] != "free":
        return gpu
    return {**gpu, "status": "quarantined", "reason": fault[:MOST_REASON]}


def foremost(records: Mapping[int, Record]) -> list[tuple[int, Record]]:
    """The living, first those that hold GPUs, and the newest tombstones, as many as fit; in the order of their ids."""
    living = [pair for pair in records.items() if pair[1].tombstone_at is None]
    living.sort(key=lambda pair: pair[1].status not in HOLDING)
    buried = [pair for pair in records.items() if pair[1].tombstone_at is not None]
    buried.sort(key=lambda pair: pair[1].tombstone_at or 0, reverse=True)
    kept = living[: MOST_INSTANCES - min(TOMBSTONES, len(buried))]
    return sorted(kept + buried[: MOST_INSTANCES - len(kept)], key=lambda pair: pair[0])


def _say_stray(container: Container, disk_used_bytes: int | None) -> dict[str, Any]:
    return {
        "contract_id": container.contract_id,
        "instance_id": container.instance_id,
        "generation": 0,
        "token": container.token,
        "status": "running" if container.status == "running" else "stopped",
        "reason": UNCLAIMED,
        "progress": None,
        "exit_code": container.exit_code,
        "onstart_exit_code": None,
        "image_digest": container.image_digest,
        "started_at": container.started_at,
        "end_at": 0,
        "disk_used_bytes": disk_used_bytes,
        "ssh_host_key": None,
    }


def _held_by_strays(strays: Iterable[Container]) -> dict[str, int]:
    return {uuid: each.instance_id for each in strays if each.status == "running" for uuid in each.gpus}


def _disk_free_bytes(disk_bytes: int, records: Iterable[Record]) -> int:
    promised = sum(record.order.limits.disk_bytes for record in records if record.status != "absent")
    return max(0, disk_bytes - promised)
