"""The disk of all tenants of this machine: what each uses, who is over, and what is left for tenants and for images."""

from __future__ import annotations

from collections.abc import Mapping

from gpulease_host import inventory
from gpulease_host.docker_engine.container_config import HOST_LABEL, INSTANCE_LABEL
from gpulease_host.docker_engine.disk_meter import UNCOUNTABLE_BYTES, DiskMeter
from gpulease_host.docker_engine.docker_api import DockerApi, Json
from gpulease_host.docker_engine.machine import Machine
from gpulease_host.engine import Limits, Overrun


class TenantDisks:
    """`image_reserve_bytes` of the disk are for images; None means a tenth."""

    def __init__(self, api: DockerApi, machine: Machine, image_reserve_bytes: int | None) -> None:
        self._api = api
        self._machine = machine
        self._image_reserve_bytes = image_reserve_bytes
        self._meter = DiskMeter()

    def overruns(self, running: Mapping[int, Json], limits: Mapping[int, Limits]) -> list[Overrun]:
        """No driver limits what an image has declared a volume."""
        self._machine.storage.keep_limits({str(each["Id"]): limits[key].disk_bytes for key, each in running.items()})
        enforced = self._machine.disk_enforced
        watched = {instance: each for instance, each in running.items() if not enforced or _volumes(each)}
        used = {instance: self._used_bytes(listed) for instance, listed in watched.items()}
        return [
            Overrun(instance, size, limits[instance].disk_bytes)
            for instance, size in used.items()
            if size is not None and size > limits[instance].disk_bytes
        ]

    def used_bytes(self, instance_id: int) -> int | None:
        listed = self._api.list_containers(f"{INSTANCE_LABEL}={instance_id}")
        return self._used_bytes(listed[0]) if listed else None

    def forget(self, container_id: str) -> None:
        self._meter.forget(container_id)

    def free_bytes(self) -> int:
        return self._machine.storage.free_bytes()

    def for_tenants_bytes(self) -> int:
        """What this machine can promise to contracts."""
        return inventory.disk_for_tenants_bytes(self.free_bytes(), self._all_used_bytes(), self._image_reserve_bytes)

    def room_bytes(self, promised_bytes: int) -> int:
        """What is free once tenants have written all that this host promised them."""
        return self.free_bytes() + self._all_used_bytes() - promised_bytes

    def _all_used_bytes(self) -> int:
        used = (self._used_bytes(listed) or 0 for listed in self._api.list_containers(HOST_LABEL))
        return sum(each for each in used if each < UNCOUNTABLE_BYTES)

    def _used_bytes(self, listed: Json) -> int | None:
        container_id = str(listed["Id"])
        storage = self._machine.storage
        volumes = [str(storage.volume_directory(name)) for name in _volumes(listed)]
        return self._meter.used_bytes(storage, container_id, volumes, lambda: self._docker_size_bytes(container_id))

    def _docker_size_bytes(self, container_id: str) -> int | None:
        found = self._api.container_with_size(container_id)
        return None if found is None else int(found.get("SizeRw", 0))


def _volumes(listed: Json) -> list[str]:
    """None are ordered, so these are what the image declares."""
    return [str(mount["Name"]) for mount in listed.get("Mounts") or [] if mount["Type"] == "volume"]
