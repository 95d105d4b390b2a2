"""The very line that `POST /v1/hosts` answers, on this machine: from a download over HTTP to a container that runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from local import supervise
from local.client import wait_until
from local.leftovers import containers_of, networks_of
from local.site import Running
from tests.e2e.renting import request_for, wait_for

AGENT = """#!/bin/sh
# Called as amazon-ssm-agent is, to register; stays as the stand-in does.
if [ "$*" = "-register -clear" ]; then
    exec rm '{prefix}/var/lib/amazon/ssm/registration'
fi
cd '{root}' && PYTHONPATH=. PATH="{prefix}/usr/local/bin:$PATH" '{python}' -m local.agent --endpoint '{endpoint}' \\
    --region "$7" --state-dir '{state}' --credentials-file '{state}/credentials' --register "$3" "$5" \\
    >'{state}/registered' 2>'{state}/log' &
echo $! >'{state}/pid'
until [ -s '{state}/registered' ]; do
    kill -0 $! || {{ cat '{state}/log' >&2; exit 1; }}
    sleep 0.1
done
mkdir -p '{prefix}/var/lib/amazon/ssm' && cp '{state}/registered' '{prefix}/var/lib/amazon/ssm/registration'
"""


@dataclass(frozen=True)
class Newcomer:
    """A machine that is to join: everything of it in one folder."""

    folder: Path
    running: Running

    @property
    def prefix(self) -> Path:
        return self.folder / "root"

    @property
    def program(self) -> Path:
        return self.prefix / "usr/local/bin/gpulease-host"

    @property
    def agent_state(self) -> Path:
        return self.folder / "agent"

    def prepare(self) -> None:
        self.agent_state.mkdir()
        text = AGENT.format(
            root=supervise.ROOT,
            prefix=self.prefix,
            python=sys.executable,
            endpoint=self.running.cloud.aws_endpoint,
            state=self.agent_state,
        )
        self._agent.write_text(text)
        self._agent.chmod(0o755)

    def paste(self, line: str) -> subprocess.CompletedProcess[str]:
        """What an owner does, kept within the folder."""
        line += f" --simulate-gpus 2 --prefix {self.prefix} --agent-command {self._agent}"
        return subprocess.run(["sh", "-c", line], env=self.environment, capture_output=True, text=True, check=False)

    def files(self) -> dict[Path, float]:
        """What was installed, with its times."""
        installed = [self.prefix / "opt", self.prefix / "usr", self.prefix / "var/lib/gpulease/config.json"]
        paths = [path for each in installed for path in (each, *each.rglob("*")) if path.suffix != ".pyc"]
        return {path: path.stat().st_mtime for path in paths if path.is_file()}

    def start_daemon(self) -> None:
        aws = {
            "AWS_ENDPOINT_URL": self.running.cloud.aws_endpoint,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.agent_state / "credentials"),
            "GPULEASE_HEARTBEAT_S": "5",
        }
        supervise.start("daemon", [str(self.program), "daemon"], state=self.folder, env=self.environment | aws)

    def stop(self) -> None:
        supervise.stop("daemon", state=self.folder)
        pid = self.agent_state / "pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)

    @property
    def environment(self) -> dict[str, str]:
        """Of a plain shell: nothing of this project's, what pip is told of its sources stays."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "PATH"}
        return kept | {"HOME": str(self.folder), "DOCKER_HOST": self.running.docker_host}

    @property
    def _agent(self) -> Path:
        return self.folder / "amazon-ssm-agent"


@pytest.fixture
def newcomer(running: Running, tmp_path: Path) -> Iterator[Newcomer]:
    made = Newcomer(tmp_path, running)
    made.prepare()
    yield made
    made.stop()


@pytest.fixture
def admission(running: Running) -> Iterator[dict[str, Any]]:
    """A host of its own, unlisted afterwards, its containers gone."""
    made: dict[str, Any] = running.owner.post("/v1/hosts", {"label": "newcomer"})
    yield made
    if running.owner.get(f"/v1/hosts/{made['id']}")["listing"] is not None:
        running.owner.delete(f"/v1/hosts/{made['id']}/listing")
    engine = docker.DockerClient(base_url=running.docker_host)
    for container in containers_of(engine, made["id"]):
        container.remove(force=True, v=True)
    for network in networks_of(engine, made["id"]):
        network.remove()


@pytest.mark.timeout(300)
def test_one_line_makes_a_machine_a_host_that_rents(
    running: Running, newcomer: Newcomer, admission: dict[str, Any]
) -> None:
    done = newcomer.paste(admission["install"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"gpulease: Done: this machine is host {admission['id']}.")
    newcomer.start_daemon()
    host = wait_for_report(running, admission["id"])
    assert (host["status"], len(host["inventory"]["gpus"])) == ("active", 2)
    listing = {"gpu_price_microusd_h": 1, "end_at": int(time.time()) + 3600, "allow_soft_disk": True}
    offers = running.owner.put(f"/v1/hosts/{admission['id']}/listing", listing)["listing"]["offers"]
    contract = running.client.post("/v1/contracts", request_for({"id": offers["2"]}))
    assert wait_for(running, contract, "active")["host_id"] == admission["id"]
    running.client.delete(f"/v1/contracts/{contract['id']}")
    wait_for(running, contract, "deleted")
    check_again(newcomer, admission["install"])
    check_leaving(newcomer, admission["install"])


def check_again(newcomer: Newcomer, line: str) -> None:
    """The same line changes nothing more; without its options it finds the program up to date."""
    before = newcomer.files()
    for again in (line, f"{line.partition(' --token')[0]} "):
        done = newcomer.paste(again)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"Program: \S+ is installed", done.stdout)
        assert "registering" not in done.stdout
    assert newcomer.files() == before


def check_leaving(newcomer: Newcomer, line: str) -> None:
    """Not under a daemon that runs; then nothing stays."""
    leave = f"{line.partition(' --token')[0]} --uninstall "
    refused = newcomer.paste(leave)
    assert refused.returncode == 1
    assert "Another daemon runs already" in refused.stderr
    supervise.stop("daemon", state=newcomer.folder)
    done = newcomer.paste(leave)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [path for path in newcomer.prefix.rglob("*") if path.is_file()]


def wait_for_report(running: Running, host_id: int) -> dict[str, Any]:
    seen: dict[str, Any] = wait_until(
        lambda: running.owner.get(f"/v1/hosts/{host_id}"),
        lambda host: host["last_seen_at"] is not None,
        "The newcomer's report",
        30,
    )
    return seen
