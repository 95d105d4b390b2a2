"""The `Engine` on Docker: what the daemon decides, done on this machine's containers, groups, networks and disks.

A start makes the network and the container side by side, because Docker takes 0.1 s for the first; nothing else on
that path asks Docker twice, and no program is run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from gpulease_host import inventory, readiness
from gpulease_host.docker_engine import container_calls, container_state, fifos, kernel_room, oom_records
from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.container_config import HOST_LABEL, INSTANCE_LABEL, container_name
from gpulease_host.docker_engine.container_facts import OutsideKills, with_facts
from gpulease_host.docker_engine.container_inspector import ContainerInspector
from gpulease_host.docker_engine.container_start import ContainerStart
from gpulease_host.docker_engine.data_root import DockerDataRoot
from gpulease_host.docker_engine.docker_api import TIMEOUT_S, DockerApi, RefusedError
from gpulease_host.docker_engine.event_stream import instance_changes
from gpulease_host.docker_engine.exec_failures import ExecFailures
from gpulease_host.docker_engine.firewall import Firewall
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.gpu_nodes import GpuNodes
from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.images import Images, ImageTerms
from gpulease_host.docker_engine.known_containers import KnownContainers, kill_processes
from gpulease_host.docker_engine.lately import Lately
from gpulease_host.docker_engine.machine import Machine
from gpulease_host.docker_engine.networks import ContractNetworks, network_name
from gpulease_host.docker_engine.oom_guard import OomGuard
from gpulease_host.docker_engine.oom_marks import OomMarks
from gpulease_host.docker_engine.pacing import Paced
from gpulease_host.docker_engine.ruleset_changes import RulesetChanges
from gpulease_host.docker_engine.shares import Shares, do_all
from gpulease_host.docker_engine.start_errors import NOT_PREPARED, PREPARING, explained, host_fault
from gpulease_host.docker_engine.stops import Stops
from gpulease_host.docker_engine.tenant_disks import TenantDisks
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.docker_engine.trial_container import TrialContainer
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.engine import (
    WAYS_IN,
    Container,
    EngineError,
    EngineUnavailableError,
    GpuCheck,
    HostNotPreparedError,
    Limits,
    Order,
    OrderedGpu,
    Overrun,
    PullWatch,
    Secrets,
    StillWanted,
)

ADDRESS_POOL = "10.213.0.0/16"
PUBLISH_ADDRESS = "0.0.0.0"
PARENT_GROUP = "gpulease"
REMOVAL_TIMEOUT_S, SOON_S = 60.0, 5.0
INVENTORY_AGE_S = 30.0
FIREWALL_CHECK_S = 60.0
WATCH_TIMEOUT_S = 10


class DockerEngine:
    """`memory_bytes` is what tenants may have together; None means the machine's RAM less a reserve.

    `image_reserve_bytes` of the disk are for images; None means a tenth.
    """

    def __init__(
        self,
        docker_host: str,
        host_id: int,
        gpus: inventory.GpuSource,
        ways_in: WaysIn,
        *,
        publish_address: str = PUBLISH_ADDRESS,
        address_pool: str = ADDRESS_POOL,
        parent_group: str = PARENT_GROUP,
        memory_bytes: int | None = None,
        firewall: Firewall | None = None,
        image_terms: ImageTerms | None = None,
        image_reserve_bytes: int | None = None,
        images_path: Path | None = None,
        known_path: Path | None = None,
        fitness: readiness.Readiness | None = None,
    ) -> None:
        self._host_id = host_id
        self._gpus = gpus
        self._ways_in = ways_in
        self._fitness = fitness or readiness.Readiness()
        self._publish_address = publish_address
        self._parent_group = parent_group
        self._memory_bytes = memory_bytes or inventory.memory_for_tenants_bytes()
        self._api = DockerApi(docker_host)
        self.data_root = DockerDataRoot(self._api, host_id)
        self._exec_failures = ExecFailures(self._api)
        self._machine = Machine(self._api)
        self._cgroups = Cgroups()
        self._disks = TenantDisks(self._api, self._machine, image_reserve_bytes)
        self._firewall = Paced((firewall or Firewall()).ensure, FIREWALL_CHECK_S, RulesetChanges().seen)
        self._image_memory = ImageMemory(images_path, time.time)
        terms = image_terms or ImageTerms()
        self._images = Images(self._api, self._image_memory, self._image_room_bytes, terms)
        self._networks = ContractNetworks(self._api, host_id, address_pool)
        self._known = KnownContainers(known_path)
        self._stops = Stops(self._api, self._known, self._cgroups, parent_group, self._free)
        self._kills = OutsideKills()
        self._oom_kills = Lately[tuple[str, float], bool | None]()
        self._inventory: tuple[float, dict[str, Any]] | None = None

    def inventory(self) -> dict[str, Any]:
        if self._inventory is None or time.monotonic() - self._inventory[0] > INVENTORY_AGE_S:
            self._inventory = (time.monotonic(), self._read_inventory())
        driver_fault = self._gpus.fault()
        not_ready = [*([] if driver_fault is None else [driver_fault]), *self._fitness.not_ready()]
        told = readiness.say(self._ways_in.modes(), not_ready)
        return self._inventory[1] | inventory.describe_gpus(self._gpus) | told

    def containers(self, of: int | None = None) -> list[Container]:
        return self._inspector.containers(self._list(all_states=True), of)

    def pull(self, order: Order, secrets: Secrets, watch: PullWatch) -> None:
        """A container that was made already needs no image any more."""
        try:
            if self._api.inspect_container(container_name(order.instance_id)) is None:
                self._images.provide(order, secrets.login, watch)
        except EngineError as error:
            raise explained(order, error) from error

    def start(self, order: Order, secrets: Secrets, still_wanted: StillWanted = lambda: True) -> None:
        self._start_by(self._starts, order, secrets, still_wanted)

    def try_start(self, gpus: Sequence[OrderedGpu]) -> None:
        """It is nobody's container for who looks for those of this host."""
        try:
            self._trial.run(gpus, self._start_trial)
        except HostNotPreparedError as error:
            raise host_fault(error, PREPARING) from error

    def try_way_in(self) -> None:
        with self._ways_in.trial():
            self._trial.log_in(self._start_trial, self.why_not_reached)

    def clear_trial(self) -> None:
        self._trial.clear()

    def _start_trial(self, order: Order) -> None:
        self._start_by(self._starts_of_nobody, order, Secrets(), lambda: True)

    def _start_by(self, starts: ContainerStart, order: Order, secrets: Secrets, still_wanted: StillWanted) -> None:
        self._prepare_host()
        if self._gpus.simulated:
            self._machine.declare_simulated(gpu.uuid for gpu in order.gpus)
        container_id = self._known.id_of(order.instance_id)
        if container_id is not None:
            self._disks.recount(container_id)
        by_request = not self._gpus.simulated or self._machine.hook_directory() is not None
        try:
            starts.run(order, secrets, still_wanted, gpus_by_request=by_request)
        except EngineError as error:
            if isinstance(error, RefusedError):
                self._api.check_listening()  # of one that is going away it is no answer
            raise explained(order, error) from error

    def why_not_startable(self, order: Order) -> str | None:
        return self._gpus.fault() or self._ways_in.why_not_startable(order)

    def why_not_reached(self, order: Order) -> str | None:
        """Tried from this host, at the container's own address: ports may be published elsewhere, or not at all."""
        if order.mode not in WAYS_IN:
            return None
        found = self._api.inspect_container(container_name(order.instance_id))
        network = ((found or {}).get("NetworkSettings") or {}).get("Networks", {}).get(network_name(order.contract_id))
        address = str((network or {}).get("IPAddress") or "")
        return self._ways_in.why_not_reached(order, address) if address else "Its network is not there yet."

    def ssh_host_key(self, instance_id: int) -> str | None:
        return self._ways_in.files(instance_id).host_key

    def set_ssh_keys(self, instance_id: int, keys: Sequence[str]) -> None:
        self._ways_in.set_ssh_keys(instance_id, keys)

    def stop(self, instance_id: int, grace_s: int = 10) -> None:
        self._stops.stop(instance_id, grace_s)

    def kill(self, instance_id: int) -> bool:
        container_id = self._known.id_of(instance_id)
        return container_id is not None and kill_processes(self._cgroups, self._parent_group, container_id)

    def remove(self, contract_id: int, instance_id: int) -> None:
        name = container_name(instance_id)
        found = self._api.inspect_container(name)
        if found is not None:
            self._images.note_used(str(found["Config"]["Image"]))
            self._disks.clear(str(found["Id"]))
        if found is not None and not found["State"]["Running"]:
            self._ghosts.end(found["Id"])
        patience_s = REMOVAL_TIMEOUT_S
        try:
            self._api.remove_container(name)
        except RefusedError as error:
            if error.status not in (404, 409):
                raise
            patience_s = SOON_S  # 409: being removed already, which takes long for millions of files
        self._await_absence(name, patience_s)
        self._networks.remove_if_unused(contract_id)
        self._ways_in.remove(instance_id)
        self._known.forget(instance_id)

    def remove_networks(self) -> None:
        self._networks.remove_all()

    def gpu_checks(self) -> list[GpuCheck]:
        """A GPU in a running container is not clean, whatever its driver says."""
        holders = {
            uuid: int(listed["Labels"][INSTANCE_LABEL])
            for listed in self._list(all_states=False)
            if self._inspector.holds_gpus(listed)
            for uuid in container_state.gpu_uuids(listed["Labels"], self._uuids_by_index)
        }
        return [_held_by(check, holders.get(check.uuid)) for check in self._gpus.checks()]

    def hold(self, limits: Mapping[int, Limits]) -> None:
        """What fails for one container, or for the firewall, is raised last: it fails again in a second."""
        do_all(lambda: do_all(*self._shares.steps(limits)), self._firewall.in_time)

    def watch(self, limits: Mapping[int, Limits]) -> list[Overrun]:
        listed = {
            int(found["Labels"][INSTANCE_LABEL]): found
            for found in self._list(all_states=False, timeout_s=WATCH_TIMEOUT_S)
        }
        return self._disks.overruns({each: listed[each] for each in listed if each in limits}, limits)

    def run_command(self, instance_id: int, command: Sequence[str], timeout_s: int) -> dict[str, Any]:
        container_id = self._known.id_of(instance_id)
        if container_id is None:
            return container_calls.run_command(self._api, instance_id, command, timeout_s)
        with self._guard.restless(self._tenants.of_container(container_id)):
            free = partial(self._free, container_id)
            return container_calls.run_command(self._api, instance_id, command, timeout_s, free)

    def read_logs(self, instance_id: int, tail: int, since: int | None, cursor: str | None) -> dict[str, Any]:
        return container_calls.read_logs(self._api, instance_id, tail, since, cursor)

    def events(self) -> Iterator[int]:
        return instance_changes(self._api, self._host_id, note=self._kills.note)

    def disk_used_bytes(self, instance_id: int) -> int | None:
        return self._disks.used_bytes(instance_id)

    def disk_free_bytes(self) -> int:
        return self._disks.free_bytes()

    def unenforced(self) -> list[str]:
        return self._machine.unenforced()

    def close(self) -> None:
        """Threads of the engine end; containers go on."""
        self._guard.close()

    @property
    def _uuids_by_index(self) -> Mapping[int, str]:
        return {gpu.index: gpu.uuid for gpu in self._gpus.gpus()}

    @cached_property
    def _tenants(self) -> TenantsGroup:
        systemd = self._machine.systemd_groups
        return TenantsGroup(self._cgroups, self._parent_group, self._memory_bytes, systemd=systemd)

    @cached_property
    def _guard(self) -> OomGuard:
        return OomGuard(self._cgroups, self._tenants.name, OomMarks(self._cgroups))

    @cached_property
    def _shares(self) -> Shares:
        return Shares(self._cgroups, self._tenants, self._guard, self._ghosts, self._known)

    @cached_property
    def _ghosts(self) -> Ghosts:
        return Ghosts(self._cgroups, self._tenants)

    @cached_property
    def _inspector(self) -> ContainerInspector:
        parts = (self._api, self._known, self._ghosts, self._cgroups, self._tenants)
        return ContainerInspector(*parts, lambda: self._uuids_by_index, self._describe)

    @cached_property
    def _trial(self) -> TrialContainer:
        return TrialContainer(self._api, self._networks, self._known, self._ways_in.remove, self._host_id)

    @cached_property
    def _starts(self) -> ContainerStart:
        return self._starts_as(self._host_id)

    @cached_property
    def _starts_of_nobody(self) -> ContainerStart:
        return self._starts_as(0)

    def _starts_as(self, host_id: int) -> ContainerStart:
        return ContainerStart(
            self._api,
            self._networks,
            self._machine,
            self._tenants,
            self._cgroups,
            self._guard,
            self._ghosts,
            self._ways_in,
            GpuNodes(self._gpus.gpus),
            self._known,
            host_id=host_id,
            publish_address=self._publish_address,
        )

    def _list(self, *, all_states: bool, timeout_s: float = TIMEOUT_S) -> list[dict[str, Any]]:
        label = f"{HOST_LABEL}={self._host_id}"
        listed = self._api.list_containers(label, all_states=all_states, timeout_s=timeout_s)
        return [each for each in listed if container_state.is_of_an_instance(each)]

    def _free(self, container_id: str) -> None:
        root = self._machine.storage.root_directory(container_id)
        if root is not None:
            fifos.open_once(root)

    def _prepare_host(self) -> None:
        """What is wrong with the host as a whole is no fault of a contract: its start is tried again later."""
        try:
            do_all(self._firewall.first_time, lambda: self._tenants.ensure(), kernel_room.ensure)
        except EngineUnavailableError:
            raise
        except EngineError as error:
            raise HostNotPreparedError(NOT_PREPARED, error.for_log) from error

    def _describe(self, inspected: dict[str, Any]) -> Container:
        why = self._exec_failures.why_not_begun
        found = container_state.container_of(inspected, self._killed_since, self._uuids_by_index, why)
        return with_facts(found, inspected, self._images, self._kills)

    def _killed_since(self, container_id: str, started_at: float) -> bool | None:
        key = (container_id, started_at)
        if key not in self._oom_kills:
            self._oom_kills[key] = oom_records.was_killed(self._tenants.of_container(container_id), started_at)
        return self._oom_kills[key]

    def _read_inventory(self) -> dict[str, Any]:
        disk_bytes, _ = self._disks.for_tenants_bytes(), self._shares  # which need Docker once
        if self._host_id:
            self._image_memory.promise(self._host_id, disk_bytes)
        return inventory.describe(
            self._gpus,
            self._machine.facts(self._cgroups.version),
            memory_bytes=self._memory_bytes,
            disk_bytes=disk_bytes,
        )

    def _image_room_bytes(self) -> int:
        self.inventory()
        return self._disks.room_bytes(self._image_memory.promised_bytes(self._host_id))

    def _await_absence(self, name: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._api.inspect_container(name) is not None:
            if time.monotonic() > deadline:
                raise EngineError(f"Docker has not removed {name} within {timeout_s:.0f} s")
            time.sleep(0.05)


def _held_by(check: GpuCheck, instance_id: int | None) -> GpuCheck:
    if instance_id is None:
        return check
    return GpuCheck(check.index, check.uuid, False, f"instance {instance_id} runs on it")
