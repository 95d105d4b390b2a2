"""What holds tenants to their shares and apart from each other, each second, without a word from Docker.

Containers outlive a Docker that is away, stuck, or on other data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gpulease_host.docker_engine import kernel_limits
from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.known_containers import KnownContainers
from gpulease_host.docker_engine.oom_guard import OomGuard
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import EngineError, Limits
from gpulease_host.threads import describe


class Shares:
    def __init__(
        self, cgroups: Cgroups, tenants: TenantsGroup, guard: OomGuard, ghosts: Ghosts, known: KnownContainers
    ) -> None:
        self._cgroups = cgroups
        self._tenants = tenants
        self._guard = guard
        self._ghosts = ghosts
        self._known = known

    def steps(self, limits: Mapping[int, Limits]) -> list[Callable[[], object]]:
        """The marks go first; what fails for one is to keep nothing else from being done."""
        ids = {instance: self._known.id_of(instance) for instance in limits}
        alive = {
            container_id: limits[instance]
            for instance, container_id in ids.items()
            if container_id is not None and self._cgroups.exists(self._tenants.of_container(container_id))
        }
        baselines = {self._tenants.of_container(each): share.memory_baseline_bytes for each, share in alive.items()}
        return [
            partial(self._guard.watch_only, baselines),
            self._tenants.ensure,
            *(partial(self._limit, container_id, share) for container_id, share in alive.items()),
        ]

    def _limit(self, container_id: str, share: Limits) -> None:
        """One that is being started gets its limits of its start."""
        if not self._ghosts.is_starting(container_id):
            kernel_limits.apply(self._cgroups, self._tenants.of_container(container_id), share)


def do_all(*steps: Callable[[], object]) -> None:
    """Each is done, whatever becomes of the others; the first fault is raised in the end.

    What nobody thought of is a fault of its step too: the ends of contracts hang on these threads.
    """
    faults: list[EngineError] = []
    for step in steps:
        try:
            step()
        except EngineError as error:
            faults.append(error)
        except Exception as error:  # noqa: BLE001 - the last line
            faults.append(EngineError(describe(error)))
    if faults:
        raise faults[0]
