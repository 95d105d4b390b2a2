"""The engine's decisions that need no machine: what is read from what Docker and the kernel said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine import DockerEngine, container_state, oom_records
from gpulease_host.docker_engine.docker_api import TIMEOUT_S, DockerApi
from gpulease_host.docker_engine.event_stream import instance_changes
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.engine import EngineUnavailableError, Secrets
from gpulease_host.inventory_simulated import SimulatedGpus
from gpulease_host.toolkit.store import ToolkitStore
from tests.host.orders import order

WITH_TWO_GPUS = order(gpus=(0, 2))
SOME_SECRETS = Secrets(env={"A": "b", "LD_PRELOAD": "x"}, args=["sleep", "1"])


def inspected(status: str, code: int, *, flagged: bool) -> dict[str, Any]:
    names = ("contract", "instance", "generation", "token")
    labels = {f"gpulease.{name}": "1" for name in names} | {"gpulease.gpus": "0,3", "gpulease.gpu-uuids": "GPU-a,GPU-b"}
    state = {
        "Status": status,
        "ExitCode": code,
        "OOMKilled": flagged,
        "StartedAt": "2026-11-23T13:04:05.123456789Z",
        "Error": "",
    }
    return {"Id": "abc", "Image": "sha256:1", "Config": {"Labels": labels, "Image": "alpine:3"}, "State": state}


@pytest.mark.parametrize(
    ("code", "flagged", "kernel", "oom"),
    [
        (137, True, True, True),
        (137, True, False, False),
        (137, True, None, True),
        (1, False, True, True),
        (0, True, True, False),
    ],
)
def test_who_ran_out_of_memory_is_the_kernels_word_before_dockers(
    code: int, flagged: bool, kernel: bool | None, oom: bool
) -> None:
    container = container_state.container_of(inspected("exited", code, flagged=flagged), lambda _id, _since: kernel, {})
    assert container.oom_killed is oom
    assert (container.exit_code, container.gpus, container.started_at) == (code, ("GPU-a", "GPU-b"), 1795439045)


def test_a_container_of_an_older_host_program_has_the_gpus_of_its_numbers() -> None:
    found = inspected("running", 0, flagged=False)
    del found["Config"]["Labels"]["gpulease.gpu-uuids"]
    container = container_state.container_of(found, lambda _id, _since: None, {0: "GPU-a", 1: "GPU-b"})
    assert container.gpus == ("GPU-a",), "number 3 is gone"


def test_a_container_that_never_ran_has_neither_start_nor_exit_and_tells_no_raw_words() -> None:
    found = inspected("created", 127, flagged=False)
    found["State"] |= {"StartedAt": "0001-01-01T00:00:00Z", "Error": "no such program"}
    container = container_state.container_of(found, lambda _id, _since: None, {})
    assert (container.status, container.started_at, container.exit_code) == ("created", None, None)
    assert container.error is None


def test_the_kernels_log_names_victims_and_says_when(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    now_us = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
    log.write_text(
        f"6,900,{now_us},-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/t,task_memcg=/t/abc,task=dd,pid=9\n"
    )
    assert oom_records.was_killed("t/abc", time.time() - 5, log)
    assert not oom_records.was_killed("t/other", time.time() - 5, log)
    assert not oom_records.was_killed("t/abc", time.time() + 60, log), "an earlier life of the same container"
    assert oom_records.was_killed("t/abc", 0, tmp_path / "none") is None


class RestartingDocker(DockerApi):
    """Answers, breaks, is away, and answers again."""

    def __init__(self) -> None:
        self._calls = 0

    def list_containers(
        self, label: str, *, all_states: bool = True, timeout_s: float = TIMEOUT_S
    ) -> list[dict[str, Any]]:
        self._calls += 1
        if self._calls == 2:
            raise EngineUnavailableError("away")
        labels = inspected("running", 0, flagged=False)["Config"]["Labels"]
        return [{"Labels": labels | {"gpulease.instance": str(self._calls)}}]

    def container_events(self, label: str, since: int) -> Iterator[dict[str, Any]]:
        attributes = {"gpulease.instance": "50"}
        yield {"Action": "exec_start: sh", "Actor": {"Attributes": attributes}}
        yield {"Action": "die", "Actor": {"Attributes": attributes}}
        raise EngineUnavailableError("closed")


def test_events_go_on_after_docker_was_away_and_then_name_everyone() -> None:
    pauses: list[float] = []
    assert list(islice(instance_changes(RestartingDocker(), 7, pauses.append), 4)) == [1, 50, 3, 50]
    assert len(pauses) == 2


class StoppingDocker(DockerApi):
    """Has one container, and says nothing of its being told to stop."""

    def __init__(self) -> None:
        self.runs, self.listens = True, True

    def list_containers(
        self, label: str, *, all_states: bool = True, timeout_s: float = TIMEOUT_S
    ) -> list[dict[str, Any]]:
        return [{"Id": "abc", "Labels": inspected("running", 0, flagged=False)["Config"]["Labels"]}]

    def inspect_container(self, name: str) -> dict[str, Any] | None:
        found = inspected("running" if self.runs else "exited", 0, flagged=False)
        found["State"]["Running"] = self.runs
        return found

    def info(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        return {"CgroupDriver": "cgroupfs"}

    def check_listening(self) -> None:
        if not self.listens:
            raise EngineUnavailableError("refused")


def test_an_end_is_believed_only_from_a_docker_that_goes_on(tmp_path: Path) -> None:
    ways_in = WaysIn(tmp_path, ToolkitStore(tmp_path))
    docker, engine = StoppingDocker(), DockerEngine("unix:///none", 7, SimulatedGpus(1, "seed"), ways_in)
    engine._api = engine._machine._api = docker
    assert [each.status for each in engine.containers()] == ["running"]
    docker.runs = docker.listens = False
    for _ in range(2):
        with pytest.raises(EngineUnavailableError):
            engine.containers()
    docker.listens = True
    assert [each.status for each in engine.containers()] == ["exited"]
