"""What Docker says of a container, turned into the daemon's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from gpulease_host.docker_engine.container_config import (
    CONTRACT_LABEL,
    GENERATION_LABEL,
    GPU_UUIDS_LABEL,
    GPUS_LABEL,
    INSTANCE_LABEL,
    TOKEN_LABEL,
)
from gpulease_host.docker_engine.networks import network_name
from gpulease_host.engine import Container

Status = Literal["created", "running", "exited"]
IDENTITY = (CONTRACT_LABEL, INSTANCE_LABEL, GENERATION_LABEL, TOKEN_LABEL)
# Asks the kernel whether it killed a process of this container (by id) since then; None when it cannot tell.
KilledSince = Callable[[str, float], bool | None]
WhyNotBegun = Callable[[Mapping[str, Any]], str | None]
"""Why its program never began, in a sentence."""
RUNNING = frozenset({"running", "paused", "restarting"})
_STATUS: Mapping[str, Status] = {"created": "created", **dict.fromkeys(RUNNING, "running")}


def is_of_an_instance(listed: Mapping[str, Any]) -> bool:
    """Somebody's own container may have some of our labels; it decides nothing for others."""
    labels = listed["Labels"] or {}
    return all(str(labels.get(name, "")).isdecimal() for name in IDENTITY)


def container_of(
    inspected: Mapping[str, Any],
    killed_since: KilledSince,
    uuids_by_index: Mapping[int, str],
    why_not_begun: WhyNotBegun = lambda _inspected: None,
) -> Container:
    labels, state = inspected["Config"]["Labels"], inspected["State"]
    status = _STATUS.get(state["Status"], "exited")
    started_at = _epoch(state["StartedAt"])
    return Container(
        contract_id=int(labels[CONTRACT_LABEL]),
        instance_id=int(labels[INSTANCE_LABEL]),
        generation=int(labels[GENERATION_LABEL]),
        token=int(labels[TOKEN_LABEL]),
        status=status,
        exit_code=int(state["ExitCode"]) if status == "exited" else None,
        oom_killed=status == "exited" and _was_oom(inspected["Id"], state, started_at, killed_since),
        started_at=None if started_at is None else int(started_at),
        run=None if started_at is None else state["StartedAt"],
        error=why_not_begun(inspected),
        gpus=gpu_uuids(labels, uuids_by_index),
        address=_address(inspected, int(labels[CONTRACT_LABEL])) if status == "running" else None,
    )


def listed_container(
    listed: Mapping[str, Any], uuids_by_index: Mapping[int, str], *, runs: bool, hangs: str | None
) -> Container:
    """What Docker's list tells; `runs` is told beside it."""
    labels, listed_status = listed["Labels"], _STATUS.get(listed["State"], "exited")
    return Container(
        contract_id=int(labels[CONTRACT_LABEL]),
        instance_id=int(labels[INSTANCE_LABEL]),
        generation=int(labels[GENERATION_LABEL]),
        token=int(labels[TOKEN_LABEL]),
        status="running" if runs else "created" if listed_status == "created" else "exited",
        exit_code=None,
        oom_killed=False,
        started_at=None,
        run=None,
        error=None,
        gpus=gpu_uuids(labels, uuids_by_index),
        address=_address(listed, int(labels[CONTRACT_LABEL])) if runs else None,
        hangs=hangs,
    )


def gpu_uuids(labels: Mapping[str, str], uuids_by_index: Mapping[int, str]) -> tuple[str, ...]:
    """A container of an older host program says indexes only, which are right until a GPU is gone."""
    if GPU_UUIDS_LABEL in labels:
        return tuple(uuid for uuid in labels[GPU_UUIDS_LABEL].split(",") if uuid)
    indexes = [int(index) for index in labels.get(GPUS_LABEL, "").split(",") if index]
    return tuple(uuids_by_index[index] for index in indexes if index in uuids_by_index)


def _address(inspected: Mapping[str, Any], contract_id: int) -> str | None:
    """On its contract's own network."""
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return (networks.get(network_name(contract_id)) or {}).get("IPAddress") or None


def _was_oom(container_id: str, state: Mapping[str, Any], started_at: float | None, killed_since: KilledSince) -> bool:
    """A clean exit is none, whatever happened below it; Docker's flag counts only where the kernel is silent."""
    if state["ExitCode"] == 0 or started_at is None:
        return False
    killed = killed_since(container_id, started_at)
    return bool(state["OOMKilled"]) if killed is None else killed


def _epoch(docker_time: str) -> float | None:
    """Docker writes nanoseconds, and year 1 for never."""
    if docker_time.startswith("0001-"):
        return None
    whole, _, fraction = docker_time.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
