"""Starts one container for an order, from whatever is there already: nothing, a network, a stopped container."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any

from gpulease_host.docker_engine import fifos, kernel_limits
from gpulease_host.docker_engine.cgroups import Cgroups, shares_converted_to
from gpulease_host.docker_engine.container_config import (
    Surroundings,
    container_config,
    container_name,
    is_of_other_ports,
)
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.gpu_nodes import DeviceNode, GpuNodes
from gpulease_host.docker_engine.known_containers import KnownContainers
from gpulease_host.docker_engine.machine import Machine
from gpulease_host.docker_engine.networks import ContractNetworks, network_name
from gpulease_host.docker_engine.oom_guard import OomGuard
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.docker_engine.ways_in import WayInError, WaysIn
from gpulease_host.engine import (
    WAYS_IN,
    DiskError,
    EngineError,
    ImageMissingError,
    LimitsError,
    Order,
    OvertakenError,
    Secrets,
    StillWanted,
)

PARALLEL_NETWORKS = 8
APPEARANCE_TRIES = 50
APPEARANCE_PAUSE_S = 0.1
START_TRIES = 10
START_PAUSE_S = 0.2

MOST_CONFIG_BYTES = 256 << 10
"""Docker repeats an image's labels whenever it lists containers. Usual images have some kilobytes."""
TOO_MUCH_SAID = (
    "{image} cannot be started: its labels, variables and commands have more than 256 KiB together. Build it with less "
    "of them (see docker image inspect), or choose another."
)


class ContainerStart:
    def __init__(
        self,
        api: DockerApi,
        networks: ContractNetworks,
        machine: Machine,
        tenants: TenantsGroup,
        cgroups: Cgroups,
        guard: OomGuard,
        ghosts: Ghosts,
        ways_in: WaysIn,
        gpu_nodes: GpuNodes,
        known: KnownContainers,
        *,
        host_id: int,
        publish_address: str,
    ) -> None:
        self._api = api
        self._networks = networks
        self._machine = machine
        self._tenants = tenants
        self._cgroups = cgroups
        self._guard = guard
        self._ghosts = ghosts
        self._ways_in = ways_in
        self._gpu_nodes = gpu_nodes
        self._known = known
        self._host_id = host_id
        self._publish_address = publish_address
        self._threads = ThreadPoolExecutor(PARALLEL_NETWORKS, thread_name_prefix="network")

    def run(self, order: Order, secrets: Secrets, still_wanted: StillWanted, *, gpus_by_request: bool) -> None:
        network = self._threads.submit(self._networks.ensure, order.contract_id)
        try:
            nodes = self._gpu_nodes.prepare(order)
            container_id = self._existing(order)
            if container_id is None:
                container_id = self._create(order, secrets, nodes, gpus_by_request=gpus_by_request)
            elif order.mode in WAYS_IN:
                self._ways_in.prepare(order, secrets, None)
            self._machine.storage.limit(container_id, order.limits.disk_bytes)
            network.result()
        except EngineError:
            self._clear(order, network)
            raise
        if not still_wanted():
            raise OvertakenError("It is no longer wanted running.")
        with self._ghosts.none_while_starting(container_id):
            self._known.note(order.instance_id, container_id)
            self._start(order, container_id)
            self._limit(order, container_id)

    def _existing(self, order: Order) -> str | None:
        """One that never ran is made anew where its ports have got other numbers."""
        found = self._api.inspect_container(container_name(order.instance_id))
        if found is None:
            return None
        if is_of_other_ports(order, found):
            self._api.remove_container(str(found["Id"]))
            return None
        return str(found["Id"])

    def _create(self, order: Order, secrets: Secrets, nodes: Sequence[DeviceNode], *, gpus_by_request: bool) -> str:
        image = self._image(order.image)
        config = image.get("Config") or {}
        if len(json.dumps(config)) > MOST_CONFIG_BYTES:
            raise ImageMissingError(TOO_MUCH_SAID.format(image=order.image))
        launch = None
        if order.mode in WAYS_IN:
            launch = self._ways_in.prepare(order, secrets, str(config.get("WorkingDir") or ""))
        cpu_shares, systemd_cpu_weight = self._cpu(order.limits.cpu_weight_permille)
        surroundings = Surroundings(
            host_id=self._host_id,
            network=network_name(order.contract_id),
            cgroup_parent=self._tenants.docker_parent,
            cpu_shares=cpu_shares,
            systemd_cpu_weight=systemd_cpu_weight,
            gpus_by_request=gpus_by_request,
            size_option=self._machine.storage.size_option(order.limits.disk_bytes, int(image["Size"])),
            publish_address=self._publish_address,
            launch=launch,
            image_env=config.get("Env") or (),
            docker_root=str(self._machine.storage.data_root),
            takes_seccomp=self._machine.takes_seccomp,
            device_nodes=nodes,
            log_file_bytes=self._machine.log_file_bytes,
        )
        name = container_name(order.instance_id)
        try:
            return self._api.create_container(name, container_config(order, secrets, surroundings))
        except RefusedError as error:
            return self._created_by_another(order, error)

    def _cpu(self, permille: int) -> tuple[int | None, int | None]:
        """Docker's CPU shares, or a weight of systemd's where Docker passes one on: systemd writes its own again."""
        if not self._tenants.systemd_weighs:
            return max(2, round(1024 * permille / 1000)), None
        weight = self._cgroups.weight_of(permille)
        return (None, weight) if self._machine.passes_annotations else (shares_converted_to(weight), None)

    def _created_by_another(self, order: Order, error: RefusedError) -> str:
        """The name was taken between our look and our call: someone applied the same order.

        Docker reserves a name before the container can be seen, so seeing it may take a moment.
        """
        for _ in range(APPEARANCE_TRIES if error.status == 409 else 0):
            existing = self._existing(order)
            if existing is not None:
                return existing
            time.sleep(APPEARANCE_PAUSE_S)
        if "storage-opt" in str(error) or "quota" in str(error):
            raise DiskError(f"Docker did not take the disk limit: {error}") from error
        raise error

    def _image(self, image: str) -> dict[str, Any]:
        found = self._api.inspect_image(image)
        if found is None:
            raise ImageMissingError(f"{image} was here a moment ago. Somebody removes images of this host: try again.")
        return found

    def _start(self, order: Order, container_id: str) -> None:
        """Whatever an earlier life of Docker left in the way is put aside, and Docker needs a moment to see that."""
        name, mended = container_name(order.instance_id), False
        root = partial(self._machine.storage.root_directory, container_id)
        for _ in range(START_TRIES):
            try:
                with fifos.opened_meanwhile(root):
                    self._api.start_container(name)
            except RefusedError as error:
                refusal = error
                mended = self._clear_the_way(order, container_id, error) or mended
                if not mended:
                    raise
                time.sleep(START_PAUSE_S)
            else:
                return
        raise refusal

    def _clear_the_way(self, order: Order, container_id: str, refusal: RefusedError) -> bool:
        if refusal.status == 404 and "network" in str(refusal):
            # Its network was pruned while it was stopped, and has just been made anew.
            self._api.reconnect(container_name(order.instance_id), network_name(order.contract_id))
            return True
        return self._ghosts.end(container_id) or self._ghosts.clear_folder(container_id, str(refusal))

    def _limit(self, order: Order, container_id: str) -> None:
        """A container that runs with other limits than its share is ended, not tolerated."""
        group = self._tenants.of_container(container_id)
        self._guard.also_watch(group, order.limits.memory_baseline_bytes)
        try:
            kernel_limits.apply_to_started(
                self._cgroups, group, order.limits, lambda: self._api.is_running(container_id)
            )
        except LimitsError:
            self._api.stop_container(container_id, grace_s=0)
            raise

    def _clear(self, order: Order, network: Future[None]) -> None:
        """Without a container, no network and no key stays behind."""
        wait([network])
        self._networks.remove_if_unused(order.contract_id)
        if order.mode in WAYS_IN and self._existing(order) is None:
            with suppress(WayInError):  # why it did not start is said instead; its removal tries again
                self._ways_in.remove(order.instance_id)
