"""What a client is told of a container beyond Docker's state of it: the digest of its image, and how things ended."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.container_config import INSTANCE_LABEL
from gpulease_host.docker_engine.images import Images
from gpulease_host.engine import Container
from gpulease_host.toolkit import layout

ENDING_SIGNALS = frozenset(str(number) for number in (2, 3, 9, 15))
"""What people end programs with; others make them read their configuration again."""
PROC = Path("/proc")
MOST_DIGITS = 8


class OutsideKills:
    """Which containers Docker was asked to signal: by others, since what this host stops does not end by itself."""

    def __init__(self) -> None:
        self._signalled: set[int] = set()

    def note(self, event: Mapping[str, Any]) -> None:
        attributes = event["Actor"]["Attributes"]
        if not str(attributes.get(INSTANCE_LABEL, "")).isdecimal():
            return  # somebody's own, with some of our labels
        if event.get("Action") == "start":
            self._signalled.discard(int(attributes[INSTANCE_LABEL]))
        elif event.get("Action") == "kill" and attributes.get("signal") in ENDING_SIGNALS:
            self._signalled.add(int(attributes[INSTANCE_LABEL]))

    def has(self, instance_id: int) -> bool:
        return instance_id in self._signalled


def with_facts(container: Container, inspected: Mapping[str, Any], images: Images, kills: OutsideKills) -> Container:
    return replace(
        container,
        image_digest=images.digest_of(str(inspected["Config"]["Image"]), str(inspected["Image"])),
        onstart_exit_code=onstart_exit_code(inspected),
        is_killed=container.status == "exited" and kills.has(container.instance_id),
    )


def onstart_exit_code(inspected: Mapping[str, Any], proc: Path = PROC) -> int | None:
    """As the first process of modes ssh and jupyter has noted it. Its folder is the client's: nothing is followed."""
    pid = inspected["State"].get("Pid")
    if not pid or tuple(inspected["Config"].get("Entrypoint") or ()) != layout.INIT:
        return None
    path = f"{proc}/{pid}/root{layout.SCRATCH}/{layout.ONSTART_EXIT_FILE}"
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(file, MOST_DIGITS)) if stat.S_ISREG(os.fstat(file).st_mode) else None
    except (OSError, ValueError):
        return None
    finally:
        os.close(file)
