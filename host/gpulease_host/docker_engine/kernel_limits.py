"""Writes a container's share into its control group and reads it back: what Docker was asked for is no proof.

Docker's conversion of CPU shares to v2 weights differs between versions of its runtime, and is not linear in the newer
ones, so the weight is always written here.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.tenants_group import same_pages
from gpulease_host.engine import Limits, LimitsError

GOING = (errno.ENOENT, errno.ENODEV)
"""Of a group that is being removed: on v1, from one controller after another."""
TRIES = 50
PAUSE_S = 0.1


def apply(cgroups: Cgroups, group: str, limits: Limits) -> bool:
    """True when all is in force; False when the group is gone, as after a very short life. Else LimitsError."""
    wanted = _wanted(cgroups, limits)
    try:
        _write(cgroups, group, wanted)
        read = _read(cgroups, group)
    except OSError as error:
        if error.errno in GOING or not cgroups.exists(group):
            return False
        raise LimitsError(f"the kernel did not take the limits of {group}: {error}") from error
    if not _same(read, wanted):
        raise LimitsError(f"the kernel has other limits for {group}: {read}, not {wanted}")
    return True


def apply_to_started(cgroups: Cgroups, group: str, limits: Limits, is_running: Callable[[], bool]) -> None:
    """One that has ended has no group any more, which Docker may learn a moment later. Raises LimitsError."""
    for _ in range(TRIES):
        if apply(cgroups, group, limits) or not is_running():
            return
        time.sleep(PAUSE_S)
    raise LimitsError("the container's control group is not where Docker was told to make it")


@dataclass(frozen=True)
class _Held:
    cpu_weight: int
    io_weights: frozenset[int]
    """Empty where the kernel has none."""
    memory_limit: int | None
    memory_baseline: int | None
    pids: int | None


def _wanted(cgroups: Cgroups, limits: Limits) -> _Held:
    return _Held(
        cpu_weight=cgroups.weight_of(limits.cpu_weight_permille),
        io_weights=frozenset({max(1, limits.io_weight_permille)}),
        memory_limit=limits.memory_limit_bytes,
        memory_baseline=limits.memory_baseline_bytes,
        pids=limits.pids,
    )


def _read(cgroups: Cgroups, group: str) -> _Held:
    return _Held(
        cpu_weight=cgroups.cpu_weight(group),
        io_weights=frozenset(cgroups.io_weights(group)),
        memory_limit=cgroups.memory_limit_bytes(group),
        memory_baseline=cgroups.memory_low_bytes(group),
        pids=cgroups.pids_limit(group),
    )


def _write(cgroups: Cgroups, group: str, wanted: _Held) -> None:
    """The weights, and nothing that is as it should be: this is done each second."""
    if cgroups.cpu_weight(group) != wanted.cpu_weight:
        cgroups.set_cpu_weight(group, wanted.cpu_weight)
    if frozenset(cgroups.io_weights(group)) - wanted.io_weights:
        (weight,) = wanted.io_weights
        cgroups.set_io_weight(group, weight)
    cgroups.keep_from_oomd(group)


def _same(read: _Held, wanted: _Held) -> bool:
    memory = ((read.memory_limit, wanted.memory_limit), (read.memory_baseline, wanted.memory_baseline))
    return (
        (read.cpu_weight, read.pids) == (wanted.cpu_weight, wanted.pids)
        and read.io_weights <= wanted.io_weights
        and all(have is not None and want is not None and same_pages(have, want) for have, want in memory)
    )
