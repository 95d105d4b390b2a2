"""The disk of all tenants of this machine: what each uses, who is over, and what is left for tenants and for images."""

from __future__ import annotations

from collections.abc import Mapping

from gpulease_host import inventory
from gpulease_host.docker_engine.container_config import HOST_LABEL, INSTANCE_LABEL, has_profile
from gpulease_host.docker_engine.disk_meter import UNCOUNTABLE_BYTES, DiskMeter
from gpulease_host.docker_engine.docker_api import DockerApi, Json
from gpulease_host.docker_engine.machine import Machine
from gpulease_host.engine import EngineError, EngineUnavailableError, Limits, Overrun

UNNOTICED_BYTES = 1 << 20
"""Of what is not limited; the files that Docker writes for each container are some kilobytes."""


class TenantDisks:
    """`image_reserve_bytes` of the disk are for images; None means a tenth."""

    def __init__(self, api: DockerApi, machine: Machine, image_reserve_bytes: int | None) -> None:
        self._api = api
        self._machine = machine
        self._image_reserve_bytes = image_reserve_bytes
        self._meter = DiskMeter()

    def overruns(self, running: Mapping[int, Json], limits: Mapping[int, Limits]) -> list[Overrun]:
        self._machine.storage.keep_limits({str(each["Id"]): limits[key].disk_bytes for key, each in running.items()})
        found, faults = [], []
        for instance, each in running.items():
            try:
                size = None if self._is_held(each) else self._used_bytes(each)
            except EngineUnavailableError:
                raise
            except (EngineError, OSError) as error:  # of one: nobody else is let off the watch
                faults.append(EngineError(f"the disk of instance {instance} cannot be watched: {error}"))
                continue
            if size is not None and size > limits[instance].disk_bytes and self._meter.is_sure(str(each["Id"])):
                found.append(Overrun(instance, size, limits[instance].disk_bytes))
        if faults and not found:
            raise faults[0]
        return found

    def recount(self, container_id: str) -> None:
        """What was counted in an earlier run of the container says nothing of this one."""
        self._meter.forget(container_id)

    def used_bytes(self, instance_id: int) -> int | None:
        listed = self._api.list_containers(f"{INSTANCE_LABEL}={instance_id}")
        return self._used_bytes(listed[0]) if listed else None

    def clear(self, container_id: str) -> None:
        """Before Docker removes it."""
        self._meter.forget(container_id)
        self._machine.storage.clear(container_id)

    def free_bytes(self) -> int:
        return self._machine.storage.free_bytes()

    def for_tenants_bytes(self) -> int:
        """What this machine can promise to contracts."""
        return inventory.disk_for_tenants_bytes(self.free_bytes(), self._all_used_bytes(), self._image_reserve_bytes)

    def room_bytes(self, promised_bytes: int) -> int:
        """What is free once tenants have written all that this host promised them."""
        return self.free_bytes() + self._all_used_bytes() - promised_bytes

    def _all_used_bytes(self) -> int:
        used = (self._used_or_none(listed) or 0 for listed in self._api.list_containers(HOST_LABEL))
        return sum(each for each in used if each < UNCOUNTABLE_BYTES)

    def _used_or_none(self, listed: Json) -> int | None:
        """One that cannot be measured takes from what is free, and keeps no machine from saying what it has."""
        try:
            return self._used_bytes(listed)
        except EngineUnavailableError:
            raise
        except (EngineError, OSError):
            return None

    def _is_held(self, listed: Json) -> bool:
        """Whether the driver's limit is all there is to it."""
        storage, container_id = self._machine.storage, str(listed["Id"])
        if not self._machine.disk_enforced or not has_profile(listed["Labels"]):
            return False
        is_limited = storage.holds(container_id) and not self._uncounted(listed)
        return is_limited and storage.unlimited_bytes(container_id) < UNNOTICED_BYTES

    def _uncounted(self, listed: Json) -> list[str]:
        """Volumes that no limit of the container holds. None are ordered, so these are what the image declares."""
        storage = self._machine.storage
        names = [str(mount["Name"]) for mount in listed.get("Mounts") or [] if mount["Type"] == "volume"]
        volumes = [storage.volume_directory(name) for name in names]
        guarded = has_profile(listed["Labels"])
        return [str(each) for each in volumes if not (guarded and storage.is_counted(str(listed["Id"]), each))]

    def _used_bytes(self, listed: Json) -> int | None:
        container_id = str(listed["Id"])
        return self._meter.used_bytes(
            self._machine.storage,
            container_id,
            self._uncounted(listed),
            lambda: self._docker_size_bytes(container_id),
            guarded=has_profile(listed["Labels"]),
        )

    def _docker_size_bytes(self, container_id: str) -> int | None:
        found = self._api.container_with_size(container_id)
        return None if found is None else int(found.get("SizeRw", 0))
