"""Every place of a running service where a secret could have been left, read out as bytes.

What only the running cloud has (logs, histories, commands) is lost when it is stopped: a test that stops it looks
before (`look`), and whatever was found in a session is told at its end.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from gpulease_host.machine_key import from_b64
from local.client import Client
from local.site import LOCAL, Running, Site
from tests.fakes.planting import Search

HOMES = (
    *("keys.json", "settings.json", "cloud.json", "kms.json"),
    *("host/machine.key*", "host/instances/*/inside/*", "agent/*"),
)
"""Where secrets belong: API keys of the local site, keys of the emulator, machine keys, what lets into instances."""
HASHES = re.compile(rb'"(?:code_sha256|registration_sha256)": ?(?:\{"S": ?)?"([0-9a-f]{64})"|"K#([0-9a-f]{64})"')
RECEIVED = 10

Place = tuple[str, bytes]


@dataclass
class Watch:
    """`known` are secrets that the service has made, by what they are; tests add theirs."""

    known: dict[str, bytes] = field(default_factory=dict, repr=False)
    findings: set[str] = field(default_factory=set)
    looked: int = 0

    def look(self, running: Running, state: Path) -> None:
        """Look everywhere now."""
        self._learn(running, state)
        places = [*_files(state), *_cloud(running), *_answers(running), *_host(running, state)]
        hashes = {digest.decode() for _, content in places for found in HASHES.findall(content) for digest in found}
        self.findings |= set(Search(self.known, hashes).findings(places))
        self.looked += len(places)

    def _learn(self, running: Running, state: Path) -> None:
        keys = running.credentials
        for role in ("admin", "host", "client"):
            key = getattr(keys, f"{role}_key")
            self.known[f"the {role}'s API key …{key[-4:]}"] = key.encode()
        for path in (state / "host").glob("machine.key*"):
            halves = json.loads(path.read_text())
            for half in ("signing", "sealing"):
                self.known[f"{half} half of {halves[half][-6:]}"] = from_b64(halves[half])


def look_clean(watch: Watch, running: Running, site: Site) -> None:
    watch.look(running, site.state)
    assert watch.looked
    assert not watch.findings, "\n".join(sorted(watch.findings))


def _files(state: Path) -> Iterator[Place]:
    """The site's folder: journals, logs, the emulator's scratch. Sockets and what is at home are left out."""
    for path in sorted(state.rglob("*")):
        inner = path.relative_to(state)
        if path.is_file() and not any(inner.match(home) for home in HOMES):
            yield f"file {inner}", path.read_bytes()


def _cloud(running: Running) -> Iterator[Place]:
    yield from _tables(running)
    yield from _logs(running)
    yield from _executions(running)
    yield from _commands(running)
    yield from _queues(running)


def _tables(running: Running) -> Iterator[Place]:
    client = running.cloud.client("dynamodb")
    for output in ("TableName", "LivenessTableName"):
        name = running.cloud.outputs[output]
        for page in client.get_paginator("scan").paginate(TableName=name):
            for item in page["Items"]:
                yield f"table {name}", _dump(item)


def _logs(running: Running) -> Iterator[Place]:
    client = running.cloud.client("logs")
    for page in client.get_paginator("describe_log_groups").paginate():
        for group in (each["logGroupName"] for each in page["logGroups"]):
            for found in client.get_paginator("filter_log_events").paginate(logGroupName=group):
                yield f"log {group}", "\n".join(event["message"] for event in found["events"]).encode()


def _executions(running: Running) -> Iterator[Place]:
    client = running.cloud.client("stepfunctions")
    arn = running.cloud.outputs["StateMachineArn"]
    for page in client.get_paginator("list_executions").paginate(stateMachineArn=arn):
        for execution in (each["executionArn"] for each in page["executions"]):
            yield f"execution {execution}", _dump(client.describe_execution(executionArn=execution))
            for found in client.get_paginator("get_execution_history").paginate(
                executionArn=execution, includeExecutionData=True
            ):
                yield f"history {execution}", _dump(found["events"])


def _commands(running: Running) -> Iterator[Place]:
    """What Systems Manager keeps of each command, and the documents themselves."""
    client = running.cloud.client("ssm")
    name = running.cloud.outputs["CommandDocumentName"]
    yield f"document {name}", _dump(client.get_document(Name=name))
    for page in client.get_paginator("list_commands").paginate():
        for command in page["Commands"]:
            yield f"command {command['CommandId']}", _dump(command)
    for page in client.get_paginator("list_command_invocations").paginate(Details=True):
        for each in page["CommandInvocations"]:
            yield f"invocation {each['CommandId']}", _dump(each)
            asked = {"CommandId": each["CommandId"], "InstanceId": each["InstanceId"]}
            yield f"output {each['CommandId']}", _dump(client.get_command_invocation(**asked))


def _queues(running: Running) -> Iterator[Place]:
    """Messages that wait, dead ones too; they become visible again at once."""
    client = running.cloud.client("sqs")
    for url in client.list_queues().get("QueueUrls", []):
        answered = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=RECEIVED, VisibilityTimeout=0, MessageAttributeNames=["All"]
        )
        yield f"queue {url}", _dump(answered.get("Messages", []))


def _answers(running: Running) -> Iterator[Place]:
    """Everything that can be read over the API, by each role."""
    keys = running.credentials
    for role in ("admin", "host", "client"):
        client = Client(running.cloud.front_url, getattr(keys, f"{role}_key"))
        paths = ["/v1/offers", "/v1/contracts", "/v1/hosts", "/v1/keys"] + ["/v1/accounts"] * (role == "admin")
        for path in paths:
            if (path, role) in {("/v1/contracts", "host"), ("/v1/hosts", "client")}:
                continue
            items = client.get(path)["items"]
            yield f"{role}: GET {path}", _dump(items)
            inner = {"/v1/contracts": ("", "/events"), "/v1/hosts": ("",)}.get(path, ())
            for each in (f"{path}/{item['id']}{end}" for item in items for end in inner):
                yield f"{role}: GET {each}", _dump(client.get(each))


def _host(running: Running, state: Path) -> Iterator[Place]:
    """The daemon's own account of itself, and what Docker keeps of containers of this host that are gone."""
    status = subprocess.run([str(state / "bin" / "gpulease-host"), "status"], capture_output=True, check=False)
    yield "gpulease-host status", status.stdout + status.stderr
    log = LOCAL / "docker" / "dockerd.log"
    yield "Docker's log", log.read_bytes() if log.exists() else b"of an Engine that others started"
    engine = docker.DockerClient(base_url=running.docker_host)
    alive = {str(each.id) for each in engine.containers.list(all=True)}
    for path in sorted(Path(engine.info()["DockerRootDir"], "containers").rglob("*")):
        if path.is_file() and not alive & set(path.parts):
            yield f"Docker's {path}", path.read_bytes()


def _dump(value: Any) -> bytes:
    return json.dumps(value, default=str, ensure_ascii=False).encode()
