"""Writes a container's share into its control group and reads it back: what Docker was asked for is no proof.

Docker's conversion of CPU shares to v2 weights differs between versions of its runtime, and is not linear in the newer
ones, so the weight is always written here.
"""

from __future__ import annotations

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.tenants_group import same_pages
from gpulease_host.engine import Limits, LimitsError


def apply(cgroups: Cgroups, group: str, limits: Limits) -> bool:
    """True when all is in force; False when the group is gone, as after a very short life. Else LimitsError."""
    try:
        weight = cgroups.weight_of(limits.cpu_weight_permille)
        if cgroups.cpu_weight(group) != weight:
            cgroups.set_cpu_weight(group, weight)
        _weigh_io(cgroups, group, limits.io_weight_permille)
        read = (cgroups.cpu_weight(group), cgroups.memory_limit_bytes(group), cgroups.memory_low_bytes(group))
    except OSError as error:
        if not cgroups.exists(group):
            return False
        raise LimitsError(f"the kernel did not take the limits of {group}: {error}") from error
    wanted = (weight, limits.memory_limit_bytes, limits.memory_baseline_bytes)
    if not _same(read, wanted):
        raise LimitsError(f"the kernel has other limits for {group}: (weight, limit, baseline) {read}, not {wanted}")
    return True


def _weigh_io(cgroups: Cgroups, group: str, permille: int) -> None:
    file = cgroups.io_weight_file(group)
    if file is not None:
        file.write_text(str(max(1, permille)))


def _same(read: tuple[int, int | None, int | None], wanted: tuple[int, int, int]) -> bool:
    memory = zip(read[1:], wanted[1:], strict=True)
    return read[0] == wanted[0] and all(have is not None and same_pages(have, want) for have, want in memory)
