"""What Docker's own description of itself says against renting this machine out: checks for `readiness.Readiness`.

Each is a pure function of that description (`docker info`), which is kept for a minute, so all of them ask once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from gpulease_host.docker_engine.docker_api import Json
from gpulease_host.readiness import Check

OLDEST_DOCKER = (20, 10)
CONTROLLERS = {"cpu": "CPUShares", "memory": "MemoryLimit", "pids": "PidsLimit"}
"""The kernel's controllers without which no share holds, and where Docker says whether it has each."""
IN_SWARM = frozenset({"pending", "active", "locked", "error"})


def docker_checks(info: Callable[[], Json]) -> list[Check]:
    return [partial(_ask, check, info) for check in CHECKS]


def _ask(check: Callable[[Json], str | None], info: Callable[[], Json]) -> str | None:
    return check(info())


def why_too_old(info: Json) -> str | None:
    version = str(info.get("ServerVersion"))
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) >= OLDEST_DOCKER:
        return None
    return f"Docker {version} is too old: install Docker Engine 20.10 or newer."


def why_rootless(info: Json) -> str | None:
    if "rootless" not in _security(info):
        return None
    return "Docker runs rootless, where no share of the machine holds: run Docker Engine as root."


def why_remapped(info: Json) -> str | None:
    """What lets people in belongs to the machine's root, which a container's root then is not."""
    if "userns" not in _security(info):
        return None
    return "Docker maps users (userns-remap), which modes ssh and jupyter need off: remove it from its daemon.json."


def why_unconfined(info: Json) -> str | None:
    """Which profile Docker has is no matter where it takes one for each container."""
    if "seccomp" in _security(info):
        return None
    return "Docker cannot confine system calls: take a kernel and a Docker Engine with seccomp."


def why_in_swarm(info: Json) -> str | None:
    state = (info.get("Swarm") or {}).get("LocalNodeState")
    if state not in IN_SWARM:
        return None
    return (
        "Docker is in a swarm, which excludes live-restore and runs what others order: run `docker swarm leave`, with "
        "--force on a manager."
    )


def why_uncontrolled(info: Json) -> str | None:
    missing = [name for name, field in CONTROLLERS.items() if info.get(field) is False]
    if not missing:
        return None
    where = (
        "the root's cgroup.subtree_control" if str(info.get("CgroupVersion")) == "2" else "the kernel's command line"
    )
    return f"Docker lacks the kernel's control of {', '.join(missing)}: enable it in {where}, and restart Docker."


def why_without_runc(info: Json) -> str | None:
    """Containers are confined by what runc is known to do, whatever Docker's default runtime is."""
    runtimes = info.get("Runtimes")
    if not runtimes or "runc" in runtimes:
        return None
    return "Docker has no runtime runc, which contracts are started with: install runc, and restart Docker."


CHECKS = (why_too_old, why_rootless, why_remapped, why_unconfined, why_in_swarm, why_uncontrolled, why_without_runc)


def _security(info: Json) -> set[str]:
    """What Docker has, by name: it writes `name=seccomp,profile=builtin`."""
    return {str(option).partition(",")[0].removeprefix("name=") for option in info.get("SecurityOptions") or []}
