"""What Docker and the kernel show of this host's containers, each looked at on its own.

Docker's list comes at once, whatever it hangs on; only a closer look at one container can hang, and then the list and
the kernel have to do: a container without a process does not run, whoever says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from gpulease_host.docker_engine import container_state
from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.container_config import INSTANCE_LABEL, container_name
from gpulease_host.docker_engine.docker_api import DockerApi, Json
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.known_containers import KnownContainers
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import Container, EngineError, EngineUnavailableError


class ContainerInspector:
    """`describe` turns what a close look found into our words."""

    def __init__(
        self,
        api: DockerApi,
        known: KnownContainers,
        ghosts: Ghosts,
        cgroups: Cgroups,
        tenants: TenantsGroup,
        uuids_by_index: Callable[[], Mapping[int, str]],
        describe: Callable[[Json], Container],
    ) -> None:
        self._api = api
        self._known = known
        self._ghosts = ghosts
        self._cgroups = cgroups
        self._tenants = tenants
        self._uuids_by_index = uuids_by_index
        self._describe = describe
        self._ran: frozenset[int] = frozenset()

    def containers(self, listed: Iterable[Json], of: int | None) -> list[Container]:
        by_instance = [(int(each["Labels"][INSTANCE_LABEL]), each) for each in listed]
        self._known.note_seen({instance: str(each["Id"]) for instance, each in by_instance})
        looks = (self._look(each, key) if of in (None, key) else self._glance(each) for key, each in by_instance)
        seen = [each for each in looks if each is not None]
        self._believe_ends(seen)
        return seen

    def holds_gpus(self, listed: Json) -> bool:
        """Whether what Docker lists as running does; one on which it hangs may have ended without its notice."""
        instance_id = int(listed["Labels"][INSTANCE_LABEL])
        return container_name(instance_id) not in self._api.stuck or self._has_processes(listed)

    def _look(self, listed: Json, instance_id: int) -> Container | None:
        """Docker says nothing of one that it is starting, until that is done."""
        container_id = str(listed["Id"])
        if self._ghosts.is_starting(container_id):
            return self._glance(listed)
        name = container_name(instance_id)
        try:
            found = self._api.inspect_container(name)
            if found is not None and not found["State"]["Running"]:
                self._ghosts.lay(container_id, partial(self._api.is_running, name))
        except EngineUnavailableError:
            raise
        except EngineError as error:  # Docker refuses, or hangs on it, or it lives without Docker and cannot be ended
            runs = self._has_processes(listed)
            return container_state.listed_container(listed, self._uuids_by_index(), runs=runs, hangs=str(error))
        return None if found is None else self._describe(found)

    def _glance(self, listed: Json) -> Container:
        runs = listed["State"] in container_state.RUNNING and self.holds_gpus(listed)
        return container_state.listed_container(listed, self._uuids_by_index(), runs=runs, hangs=None)

    def _has_processes(self, listed: Json) -> bool:
        return bool(self._cgroups.pids(self._tenants.of_container(str(listed["Id"]))))

    def _believe_ends(self, seen: Iterable[Container]) -> None:
        """What has ended by itself ended in a Docker that goes on: one that stops ends containers before it is gone."""
        running = frozenset(each.instance_id for each in seen if each.status == "running")
        if self._ran - running:
            self._api.check_listening()
        self._ran = running
