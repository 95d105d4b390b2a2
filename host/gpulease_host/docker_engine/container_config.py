"""What Docker is asked to create for an order: a pure function, so that every flag is read and tested in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpulease_host.docker_engine import image_environment, kernel_room, oom_marks
from gpulease_host.docker_engine.gpu_nodes import DeviceNode
from gpulease_host.docker_engine.seccomp import security_option
from gpulease_host.docker_engine.storage import LOG_FILES, log_file_bytes
from gpulease_host.docker_engine.ways_in import Launch, launch_config, launch_host_config
from gpulease_host.engine import Limits, Order, OrderedGpu, Port, Secrets

# What sshd and package managers need; never NET_RAW, never an administrator's.
CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
)
# Which of the driver's libraries are mounted, of those GPUs alone.
ALLOWED_ENV = ("NVIDIA_DRIVER_CAPABILITIES",)

HOST_LABEL = "gpulease.host"
CONTRACT_LABEL = "gpulease.contract"
INSTANCE_LABEL = "gpulease.instance"
GENERATION_LABEL = "gpulease.generation"
TOKEN_LABEL = "gpulease.token"
GPUS_LABEL = "gpulease.gpus"
"""Their indexes in the contract: for people, and for containers made before the next one was."""
GPU_UUIDS_LABEL = "gpulease.gpu-uuids"
SECCOMP_LABEL = "gpulease.seccomp"
WITH_PROFILE, WITHOUT_PROFILE = "1", "0"
"""With our profile, nobody in a container can step around the limit of the disk. One of both is always said, because
what we do not say an image's own label would say."""


@dataclass(frozen=True)
class Surroundings:
    """What the machine adds to an order."""

    host_id: int
    network: str
    cgroup_parent: str
    cpu_shares: int | None
    gpus_by_request: bool
    size_option: Mapping[str, str] | None
    publish_address: str
    launch: Launch | None = None
    """For modes ssh and jupyter."""
    image_env: Sequence[str] = ()
    """What the image brings, as NAME=value."""
    docker_root: str = "/var/lib/docker"
    takes_seccomp: bool = True
    """Else Docker would refuse the container, where its kernel has none."""
    device_nodes: Sequence[DeviceNode] = ()
    log_file_bytes: int | None = None
    """What the owner lets Docker's logs have, where that was said."""
    systemd_cpu_weight: int | None = None
    """Instead of shares, which newer runtimes convert each in its own way, where systemd keeps the weight."""


NEVER = "0001-"
"""The year that Docker writes for what never happened."""


def container_name(instance_id: int) -> str:
    return f"gpulease-{instance_id}"


def container_config(order: Order, secrets: Secrets, surroundings: Surroundings) -> dict[str, Any]:
    """The body of Docker's `POST /containers/create`; None for entrypoint or args means the image's own."""
    return {
        "Image": order.image,
        "Entrypoint": secrets.entrypoint,
        "Cmd": secrets.args,
        "Env": _environment(secrets.env, order, surroundings),
        "ExposedPorts": {_docker_port(port): {} for port in _published(order)},
        "Labels": _labels(order, surroundings),
        "HostConfig": _host_config(order, surroundings),
        "StopTimeout": order.stop_grace_s,
        "Healthcheck": {"Test": ["NONE"]},  # an image's would run outside of the share, as often as it likes
        **(launch_config() if surroundings.launch else {}),
    }


def is_of_other_ports(order: Order, inspected: Mapping[str, Any]) -> bool:
    """Whether the container has never run, and was made to be published under other numbers than the order has now."""
    bindings = inspected["HostConfig"].get("PortBindings") or {}
    made = {(port, binding["HostPort"]) for port, found in bindings.items() for binding in found}
    wanted = {(_docker_port(port), str(port.host)) for port in _published(order)}
    return inspected["State"]["StartedAt"].startswith(NEVER) and made != wanted


def _host_config(order: Order, surroundings: Surroundings) -> dict[str, Any]:
    by_request = surroundings.gpus_by_request and order.gpus
    return {
        "NetworkMode": surroundings.network,
        "CgroupParent": surroundings.cgroup_parent,
        "CpuShares": surroundings.cpu_shares or 0,
        "Annotations": _annotations(surroundings),
        "Runtime": "runc",
        "RestartPolicy": {"Name": "no"},
        "Init": order.init and surroundings.launch is None,
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": ["no-new-privileges", *([security_option()] if surroundings.takes_seccomp else [])],
        "StorageOpt": dict(surroundings.size_option) if surroundings.size_option else None,
        "DeviceRequests": [_gpu_request(order.gpus)] if by_request else None,
        "Devices": [_device(node) for node in surroundings.device_nodes],
        "PortBindings": {
            _docker_port(port): [{"HostIp": surroundings.publish_address, "HostPort": str(port.host)}]
            for port in _published(order)
        },
        **_limits(order.limits, surroundings.log_file_bytes),
        **(launch_host_config(surroundings.launch) if surroundings.launch else {}),
    }


def _limits(limits: Limits, most_log_bytes: int | None) -> dict[str, Any]:
    """Logs are no longer than the owner lets Docker's be."""
    size = min(filter(None, (log_file_bytes(limits.disk_bytes), most_log_bytes)))
    log_options = {"max-size": str(size), "max-file": str(LOG_FILES)}
    return {
        "Memory": limits.memory_limit_bytes,
        "MemorySwap": limits.memory_limit_bytes,  # both together: no swap
        "MemoryReservation": limits.memory_baseline_bytes,
        "ShmSize": limits.shm_bytes,
        "OomScoreAdj": int(oom_marks.MARKED),
        "PidsLimit": limits.pids,
        "Ulimits": kernel_room.ulimits(),
        "LogConfig": {"Type": "json-file", "Config": log_options},
    }


def _gpu_request(gpus: Sequence[OrderedGpu]) -> dict[str, Any]:
    return {"Driver": "", "DeviceIDs": [gpu.uuid for gpu in gpus], "Capabilities": [["gpu"]]}


def _device(node: DeviceNode) -> dict[str, str]:
    return {"PathOnHost": node.on_host, "PathInContainer": node.in_container, "CgroupPermissions": "rw"}


def _annotations(surroundings: Surroundings) -> dict[str, str]:
    """Properties of the container's unit of systemd."""
    weight = surroundings.systemd_cpu_weight
    return {} if weight is None else {"org.systemd.property.CPUWeight": f"uint64 {weight}"}


def _published(order: Order) -> list[Port]:
    return [port for port in order.ports if port.host is not None]


def _docker_port(port: Port) -> str:
    return f"{port.container}/{port.protocol}"


def _environment(wanted: Mapping[str, str], order: Order, surroundings: Surroundings) -> list[str]:
    """The exact GPUs are always named, because images come with NVIDIA_VISIBLE_DEVICES=all; and the ports outside."""
    kept = {name: value for name, value in wanted.items() if _may_be_set(name)}
    kept["NVIDIA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in order.gpus) or "void"
    for port in _published(order):
        kept[f"GPULEASE_{port.protocol.upper()}_PORT_{port.container}"] = str(port.host)
    corrected = image_environment.corrections(surroundings.image_env, surroundings.docker_root)
    said = {**corrected, **kept}
    return [name if value is None else f"{name}={value}" for name, value in said.items()]  # a bare name takes it away


def has_profile(labels: Mapping[str, str]) -> bool:
    """Whether the container has our seccomp profile."""
    return labels.get(SECCOMP_LABEL) == WITH_PROFILE


def _may_be_set(name: str) -> bool:
    return name in ALLOWED_ENV or not image_environment.is_obeyed(name)


def _labels(order: Order, surroundings: Surroundings) -> dict[str, str]:
    return {
        HOST_LABEL: str(surroundings.host_id),
        CONTRACT_LABEL: str(order.contract_id),
        INSTANCE_LABEL: str(order.instance_id),
        GENERATION_LABEL: str(order.generation),
        TOKEN_LABEL: str(order.token or 0),
        GPUS_LABEL: ",".join(str(gpu.index) for gpu in order.gpus),
        GPU_UUIDS_LABEL: ",".join(gpu.uuid for gpu in order.gpus),
        SECCOMP_LABEL: WITH_PROFILE if surroundings.takes_seccomp else WITHOUT_PROFILE,
    }
