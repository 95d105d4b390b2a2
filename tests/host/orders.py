"""Orders, secrets and inventories as the control plane and an engine would give them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gpulease_host.engine import Desired, Limits, Order, OrderedGpu

HOST_ID = 7
GIB = 1 << 30
NOW = 1_800_000_000


def uuid_of(index: int) -> str:
    return f"GPU-{index:08d}"


def inventory(gpus: int = 4, gone: Collection[int] = ()) -> dict[str, Any]:
    """The driver numbers the GPUs that are left from 0 on."""
    left = [uuid_of(index) for index in range(gpus) if index not in gone]
    return {
        "gpus": [
            {"index": index, "uuid": uuid, "name": "Test GPU", "memory_bytes": 24 * GIB}
            for index, uuid in enumerate(left)
        ],
        "simulated": True,
        "cpus": 8,
        "memory_bytes": 32 * GIB,
        "disk_bytes": 100 * GIB,
        "disk_enforced": False,
        "unenforced": ["io", "network"],
        "driver_version": None,
        "docker_version": "20.10.24",
        "cgroup_version": 1,
        "hostname": "testhost",
        "modes": {"args": None, "ssh": None, "jupyter": None},
        "not_ready": [],
    }


def order(
    instance_id: int = 11,
    generation: int = 1,
    desired: Desired = "running",
    token: int | None = 1,
    end_at: int = NOW + 3600,
    gpus: tuple[int, ...] = (0,),
    contract_id: int | None = None,
) -> Order:
    return Order(
        contract_id=instance_id if contract_id is None else contract_id,
        instance_id=instance_id,
        generation=generation,
        desired=desired,
        token=token if desired == "running" else None,
        end_at=end_at,
        delete_after=end_at + 172_800,
        image="alpine:3",
        mode="args",
        ports=(),
        gpus=tuple(OrderedGpu(index, uuid_of(index)) for index in gpus),
        limits=Limits("1/4", 250, 8 * GIB, 32 * GIB, GIB, 1024, 10 * GIB, 250),
    )
