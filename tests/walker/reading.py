"""Takes snapshots: of a running service through its own tables, and of its host through Docker and the kernel."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import docker.errors

from gpulease_host.docker_engine.container_config import CONTRACT_LABEL, HOST_LABEL, INSTANCE_LABEL
from gpulease_host.docker_engine.engine import PARENT_GROUP
from gpulease_host.docker_engine.networks import PREFIX
from gpulease_host.journal import Journal
from gpulease_host.memory import Memory, replayed
from local.cloud.settings import CloudInfo
from rental.adapters.dynamodb.liveness import DynamoLiveness
from rental.adapters.dynamodb.values import load_value
from tests.walker.snapshot import Machine, SeenContainer, Snapshot, Tables, tables_of

GROUPS = Path("/sys/fs/cgroup")
SAVE_PROGRAMS = ("iptables-save", "ip6tables-save")
GPUS_VARIABLE = "NVIDIA_VISIBLE_DEVICES="


@dataclass
class Lookout:
    """Looks at one site, again and again. `host_dir` is where the daemon keeps its journal.

    Control groups of other hosts' containers lie beside ours on one machine, so it remembers which were ours.
    """

    cloud: CloudInfo
    docker_host: str
    host_id: int
    host_dir: Path
    texts: Mapping[str, Path] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)

    def look(self) -> Snapshot:
        """Raises OSError, DockerException or a client's error while a part is down."""
        at = time.time()
        machine = self._machine()
        return Snapshot(at, read_tables(self.cloud), machine)

    def _machine(self) -> Machine:
        client = docker.APIClient(base_url=self.docker_host, version="auto")
        label = {"label": f"{HOST_LABEL}={self.host_id}"}
        inspected = list(_inspected(client, label))
        self.ever |= {str(each["Id"]) for each in inspected}
        info = client.info()
        return Machine(
            containers=tuple(map(_container, inspected)),
            networks={each["Name"]: int(each["Labels"][CONTRACT_LABEL]) for each in client.networks(filters=label)},
            bridges=frozenset(name for _, name in socket.if_nameindex() if name.startswith(PREFIX)),
            groups=frozenset(self.ever & set(_groups())),
            layers=frozenset(self.ever & set(_layers(Path(info["DockerRootDir"]), info["Driver"]))),
            firewall=tuple(_firewall()),
            journal=read_journal(self.host_dir / "journal", self.host_id),
            texts={name: path.read_text(errors="replace") for name, path in self.texts.items() if path.exists()},
            disk_bytes=shutil.disk_usage(info["DockerRootDir"]).total,
        )


def _inspected(client: docker.APIClient, label: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What is removed between the list and the look is not there."""
    for each in client.containers(all=True, filters=label):
        with suppress(docker.errors.NotFound):
            yield client.inspect_container(each["Id"])


def read_tables(cloud: CloudInfo) -> Tables:
    database, machine = cloud.client("dynamodb"), cloud.client("stepfunctions")
    pages = database.get_paginator("scan").paginate(TableName=cloud.outputs["TableName"], ConsistentRead=True)
    found = [{name: load_value(typed) for name, typed in item.items()} for page in pages for item in page["Items"]]
    presences = DynamoLiveness(database, cloud.outputs["LivenessTableName"]).list_all()
    pages = machine.get_paginator("list_executions").paginate(
        stateMachineArn=cloud.outputs["StateMachineArn"], statusFilter="RUNNING"
    )
    return tables_of(found, presences, [each["name"] for page in pages for each in page["executions"]])


def read_journal(path: Path, host_id: int) -> Memory:
    """What a daemon would remember if it started now. Of a copy: opening a journal mends it."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "journal"
        shutil.copyfile(path, copy)
        journal, replay = Journal.open(copy, host_id, 0)
        journal.close()
    return replayed(replay.entries)


def _container(inspected: Mapping[str, Any]) -> SeenContainer:
    labels = inspected["Config"]["Labels"]
    named = [text.removeprefix(GPUS_VARIABLE) for text in inspected["Config"]["Env"] if text.startswith(GPUS_VARIABLE)]
    return SeenContainer(
        id=str(inspected["Id"]),
        contract_id=int(labels[CONTRACT_LABEL]),
        instance_id=int(labels[INSTANCE_LABEL]),
        is_running=bool(inspected["State"]["Running"]),
        gpus=tuple(uuid for text in named for uuid in text.split(",") if uuid != "void"),
        started_at=_epoch(inspected["State"]["StartedAt"]),
    )


def _epoch(docker_time: str) -> float | None:
    if docker_time.startswith("0001-"):
        return None
    whole, _, fraction = docker_time.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _groups() -> Iterator[str]:
    """Ids of containers that have a group below the tenants', in whichever layout and driver."""
    roots = [GROUPS] if (GROUPS / "cgroup.controllers").exists() else [GROUPS / "memory", GROUPS / "cpu"]
    for root in roots:
        for parent in (root / PARENT_GROUP, root / f"{PARENT_GROUP}.slice"):
            for group in parent.iterdir() if parent.is_dir() else ():
                yield group.name.removeprefix("docker-").removesuffix(".scope")


def _layers(data_root: Path, driver: str) -> Iterator[str]:
    for directory in (data_root / "image" / driver / "layerdb" / "mounts", data_root / "containers"):
        if directory.is_dir():
            yield from (each.name for each in directory.iterdir())


def _firewall() -> Iterator[str]:
    for program in SAVE_PROGRAMS:
        path = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin")
        if path is not None:
            yield from subprocess.run([path], check=True, capture_output=True, text=True).stdout.splitlines()
