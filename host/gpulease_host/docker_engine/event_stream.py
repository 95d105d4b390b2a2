"""Docker's events as the ids of instances that changed, without an end: Docker may restart underneath."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpulease_host.docker_engine.container_config import HOST_LABEL, INSTANCE_LABEL
from gpulease_host.docker_engine.container_state import is_of_an_instance
from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.engine import EngineError

CHANGES = frozenset({"create", "start", "die", "oom", "stop", "kill", "destroy", "pause", "unpause"})
RETRY_S = 0.5


def instance_changes(
    api: DockerApi,
    host_id: int,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
    note: Callable[[Mapping[str, Any]], None] = lambda _event: None,
) -> Iterator[int]:
    """Each instance once at first and after every break, since anything may have happened; then each that changes."""
    label = f"{HOST_LABEL}={host_id}"
    while True:
        since = int(now())
        try:
            for container in api.list_containers(label):
                if is_of_an_instance(container):
                    yield int(container["Labels"][INSTANCE_LABEL])
            for event in api.container_events(label, since):
                note(event)
                if _is_change(event):
                    yield int(event["Actor"]["Attributes"][INSTANCE_LABEL])
        except EngineError:
            sleep(RETRY_S)


def _is_change(event: Mapping[str, Any]) -> bool:
    return event.get("Action") in CHANGES and str(event["Actor"]["Attributes"].get(INSTANCE_LABEL, "")).isdecimal()
