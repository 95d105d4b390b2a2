"""A CPU group for Docker itself, as heavy as all tenants together, where nobody (systemd) gives it one.

Tenants weigh ten times the rest of the host. On a small machine whose CPUs they keep busy, Docker would have a tenth of
one CPU, and a stop would take half a minute. Containers leave the group for their own.
"""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
ENGINE_GROUP = "gpulease-docker"
V1_WEIGHT, V2_WEIGHT = 10 * 1024, 10_000
"""Of one CPU's processes in v1; the most that v2 has."""


def enter_engine_group(root: Path = CGROUPS) -> list[str]:
    """What a command begins with so that it runs in the group; nothing where this machine has no such groups."""
    try:
        group = _make_v2(root) if (root / "cgroup.controllers").exists() else _make_v1(root / "cpu")
    except OSError:  # in a container that may not
        return []
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)] if group is not None else []


def _make_v1(cpu: Path) -> Path | None:
    if not (cpu / "cpu.shares").exists():
        return None
    group = cpu / ENGINE_GROUP
    group.mkdir(exist_ok=True)
    (group / "cpu.shares").write_text(str(V1_WEIGHT * (os.cpu_count() or 1)))
    return group


def _make_v2(root: Path) -> Path | None:
    """Controllers stay off below the group: it holds processes, and v2 lets a group do only one of both."""
    if "cpu" not in (root / "cgroup.controllers").read_text().split():
        return None
    (root / "cgroup.subtree_control").write_text("+cpu")
    group = root / ENGINE_GROUP
    group.mkdir(exist_ok=True)
    (group / "cpu.weight").write_text(str(V2_WEIGHT))
    return group
