"""A whole site with a Docker of its own, whose parts a test may kill; and the client that insists on its answers."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import docker
import docker.errors
import requests
from botocore.exceptions import BotoCoreError, ClientError

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.engine import PARENT_GROUP
from local import dockerd, dockerd_disk, dockerd_shims, supervise
from local.client import ApiError, wait_until
from local.dockerd_files import Dockerd, living_pid
from local.machine import Machine
from local.site import Running, Site
from rental.domain.liveness import Phase
from tests.e2e.faults.own_network import renew_network
from tests.walker.acknowledged import Acknowledged, lost_requests
from tests.walker.history import what_has_fallen, what_has_vanished
from tests.walker.reading import Lookout
from tests.walker.secrecy import secrets_in_the_open
from tests.walker.snapshot import Snapshot
from tests.walker.walk import walk

Victim = Literal["agent", "daemon", "dockerd", "cloud"]
VICTIMS: tuple[Victim, ...] = ("agent", "daemon", "dockerd", "cloud")
HEARTBEAT_S = 5
TWO_HEARTBEATS_S = 2 * HEARTBEAT_S * 1.1
"""Each may be a tenth late."""
PATIENCE_S = 90.0
ASK_AGAIN_S = 0.2
INSISTS_FOR_S = 40.0
AWAY = (OSError, requests.RequestException, docker.errors.DockerException, ClientError, BotoCoreError)


@dataclass
class FaultSite:
    """`planted` are the secrets of all contracts, `acknowledged` every request that was answered with a 2xx."""

    site: Site
    running: Running
    planted: list[str] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    _last: Snapshot | None = None
    _asked: list[Future[dict[str, Any]]] = field(default_factory=list)
    _threads: ThreadPoolExecutor = field(default_factory=ThreadPoolExecutor)

    def __post_init__(self) -> None:
        state = self.site.state
        texts = {name: state / name for name in ("cloud.log", "agent.log", "daemon.log", "ssm.jsonl", "host/journal")}
        self.lookout = Lookout(
            self.running.cloud, self.running.docker_host, self.running.host_id, state / "host", texts
        )

    def pid_of(self, victim: Victim) -> int:
        if victim == "dockerd":
            pid = living_pid(Dockerd(self.site.docker_state.resolve()).pid_file, "dockerd")
        else:
            process = supervise.running(victim, state=self.site.state)
            pid = process.pid if process is not None else None
        assert pid is not None, f"{victim} does not run"
        return pid

    def kill(self, victim: Victim) -> None:
        """SIGKILL of the one process; what it started is left to itself."""
        pid = self.pid_of(victim)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _is_dead(pid), bool, f"the death of {victim}")

    def bring_back(self) -> None:
        """As a supervisor does: whatever does not run is started again."""
        self.running = self.site.start(lambda _: None)

    def stop_docker(self) -> None:
        """As its owner does; whether containers run on is its own setting."""
        pid = self.pid_of("dockerd")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: _is_dead(pid), bool, "the end of dockerd")

    def start_docker(self, *, live_restore: bool) -> None:
        dockerd.ensure(self.site.docker_state, self.site.docker_socket, live_restore=live_restore)

    def start_daemon(self) -> None:
        """Alone: nobody is there whom it could ask."""
        Machine(self.site.state, self.running.docker_host, HEARTBEAT_S).start_daemon()

    def lose_power(self) -> None:
        """Every process dies at once, and what the kernel knew is forgotten; files stay, but for those in /run.

        The proxy is another machine's, but shares the network that goes.
        """
        self.site.local_proxies.stop()
        for victim in VICTIMS:
            self.kill(victim)
        docker = Dockerd(self.site.docker_state.resolve())
        dockerd_shims.end(docker.run_dir)
        wait_until(lambda: not list(dockerd_shims.shims_of(docker.run_dir)), bool, "the end of all containers")
        for folder in (docker.data_root, docker.run_dir):
            dockerd_disk.unmount(folder)
        shutil.rmtree(docker.run_dir)
        for container_id in self.lookout.ever:
            Cgroups().remove(f"{PARENT_GROUP}/{container_id}")
        renew_network()
        self._threads = ThreadPoolExecutor()

    def request(self, method: str, path: str, body: Any = None, who: str = "client") -> Future[dict[str, Any]]:
        """Sent in the background, and sent again with the same key until it is answered."""
        asked = self._threads.submit(self._insist, method, path, body, who)
        self._asked.append(asked)
        return asked

    def look(self) -> list[str]:
        """Every violation now. What has fallen since the last look stays on record."""
        seen = self.lookout.look()
        if self._last is not None:
            self.history += [*what_has_fallen(self._last, seen), *what_has_vanished(self._last, seen)]
        self._last = seen
        lost = lost_requests(seen, self.acknowledged)
        plain = secrets_in_the_open(seen, self.planted)
        return [*walk(seen), *(f"I8: {each}" for each in lost), *(f"I10: {each}" for each in plain), *self.history]

    def come_to_rest(self, since: float) -> None:
        """Look until nothing is wrong any more: at the latest when two heartbeats after `since` have been taken in."""
        while found := self._look_or_say_why():
            over = self._heard_at() > since + TWO_HEARTBEATS_S or time.time() > since + PATIENCE_S
            assert not over, "\n".join(["not at rest in time:", *found])
            time.sleep(0.3)

    def _heard_at(self) -> float:
        """When the last report was sent that is wholly in the table: on a busy machine that takes its time."""
        presences = self._last.tables.presences if self._last is not None else ()
        return max((each.sent_at for each in presences if each.phase is Phase.SETTLED), default=0)

    def _look_or_say_why(self) -> list[str]:
        if not all(each.done() for each in self._asked):
            return ["a request is not answered"]
        try:
            return self.look()
        except AWAY as error:
            return [f"a part is away: {error}"]

    def _insist(self, method: str, path: str, body: Any, who: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        deadline = time.time() + INSISTS_FOR_S
        while True:
            try:
                caller = self.running.owner if who == "owner" else self.running.client
                answer: dict[str, Any] = caller.call(method, path, body, **headers)
            except (requests.RequestException, ApiError) as error:
                refused = isinstance(error, ApiError) and error.status < 500
                if refused or time.time() > deadline:
                    raise
                time.sleep(ASK_AGAIN_S)
            else:
                self.acknowledged.append(Acknowledged(f"{method} {path}", answer))
                return answer


class Vigil:
    """Asks Docker again and again which containers run, so that no two on one GPU go unseen, however shortly."""

    PAUSE_S = 0.15

    def __init__(self, fault_site: FaultSite) -> None:
        self.seen_together: list[str] = []
        self._lookout = fault_site.lookout
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vigil", daemon=True)

    def __enter__(self) -> Vigil:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self.PAUSE_S):
            try:
                running = docker.APIClient(base_url=self._lookout.docker_host).containers(
                    filters={"label": f"gpulease.host={self._lookout.host_id}"}
                )
            except AWAY:
                continue
            self._lookout.ever |= {str(each["Id"]) for each in running}
            self.seen_together += _on_one_gpu(running)


def _on_one_gpu(running: list[dict[str, Any]]) -> Iterator[str]:
    users: dict[str, str] = {}
    for each in running:
        labels = each["Labels"]
        for index in filter(None, labels["gpulease.gpus"].split(",")):
            other = users.setdefault(index, labels["gpulease.instance"])
            if other != labels["gpulease.instance"]:
                yield f"instances {other} and {labels['gpulease.instance']} ran on GPU {index} together"


def _is_dead(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - read as fast as it can be
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
