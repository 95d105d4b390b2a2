"""A stop that Docker refuses or hangs in is done by the control group, with the grace, and proved."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.known_containers import KnownContainers
from gpulease_host.docker_engine.stops import Stops, _is_first
from gpulease_host.engine import EngineError, EngineUnavailableError, StuckError
from tests.host.docker_engine.trees import v1_tree


class RefusingDocker(DockerApi):
    """Each call for a container has `refusal`; `lists` is what it shows."""

    def __init__(self, refusal: EngineError) -> None:
        super().__init__("unix:///none")
        self.refusal = refusal
        self.asked = 0
        self.lists: list[str] = []

    def stop_container(self, name: str, grace_s: int) -> None:
        self.asked += 1
        raise self.refusal

    def list_containers(self, label: str, *, all_states: bool = True, timeout_s: float = 1) -> list[dict[str, str]]:
        return [{"Id": each} for each in self.lists]


class Kernel:
    """One process in the container's group, which ends with SIGKILL unless it `is_dead_to_signals`."""

    def __init__(self, folder: Path, container_id: str = "abc") -> None:
        self.cgroups: Cgroups = v1_tree(folder)
        self.procs = folder / "memory" / "gpulease" / container_id / "cgroup.procs"
        self.procs.parent.mkdir(parents=True, exist_ok=True)
        self.procs.write_text("4000001\n")
        self.signals: list[int] = []
        self.is_dead_to_signals = False

    def kill(self, _pid: int, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL and not self.is_dead_to_signals:
            self.procs.write_text("")


def stops_on(kernel: Kernel, docker: DockerApi, *, known: str | None = "abc") -> Stops:
    containers = KnownContainers(None)
    if known is not None:
        containers.note(11, known)
    return Stops(docker, containers, kernel.cgroups, "gpulease", lambda _: None, kernel.kill, lambda _: None)


@pytest.mark.parametrize("refusal", [RefusedError(500, "permission denied"), StuckError("Docker hangs.")])
def test_what_docker_does_not_stop_is_killed_and_that_is_enough(tmp_path: Path, refusal: EngineError) -> None:
    kernel = Kernel(tmp_path)
    docker = RefusingDocker(refusal)
    stops_on(kernel, docker).stop(11, 1)
    assert (docker.asked, kernel.signals) == (1, [signal.SIGKILL])
    stops_on(kernel, RefusingDocker(refusal)).stop(11, 1)
    assert kernel.signals == [signal.SIGKILL], "nothing is left"


def test_what_the_kernel_does_not_end_has_not_stopped(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.is_dead_to_signals = True
    with pytest.raises(EngineError, match="cannot be ended"):
        stops_on(kernel, RefusingDocker(RefusedError(500, "permission denied"))).stop(11, 0)


def test_the_container_that_docker_shows_is_ended_beside_the_one_that_is_remembered(tmp_path: Path) -> None:
    kernel, docker = Kernel(tmp_path, "other"), RefusingDocker(StuckError("Docker hangs."))
    docker.lists = ["other"]
    stops_on(kernel, docker, known="gone").stop(11, 0)
    assert kernel.signals == [signal.SIGKILL]


def test_what_is_absent_has_stopped_and_a_docker_that_is_away_proves_nothing(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.procs.write_text("")
    stops_on(kernel, RefusingDocker(RefusedError(404, "no such container"))).stop(11, 0)
    with pytest.raises(EngineUnavailableError):
        stops_on(kernel, RefusingDocker(EngineUnavailableError("refused"))).stop(11, 0)
    assert kernel.signals == []


def test_one_that_runs_on_while_docker_knows_nothing_of_it_is_ended(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    stops_on(kernel, RefusingDocker(RefusedError(404, "no such container"))).stop(11, 0)
    assert kernel.signals == [signal.SIGKILL]


def test_one_that_is_let_go_is_stopped_by_docker_after_all(tmp_path: Path) -> None:
    kernel, docker = Kernel(tmp_path), RefusingDocker(StuckError("Docker hangs."))
    docker.stuck._names.add("gpulease-11")

    def let_go(container_id: str) -> None:
        assert container_id == "abc"
        docker.stuck._names.clear()
        kernel.procs.write_text("")
        docker.refusal = RefusedError(404, "it is gone meanwhile")

    stops = stops_on(kernel, docker)
    stops._free = let_go
    stops.stop(11, 10)
    assert (docker.asked, kernel.signals) == (2, [])


@pytest.fixture
def nested() -> Iterator[int]:
    """Process 1 of a PID namespace of its own."""
    program = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen(["unshare", "--pid", "--fork", *program], stdout=subprocess.PIPE) as made:
        assert made.stdout is not None
        made.stdout.readline()
        children = Path(f"/proc/{made.pid}/task/{made.pid}/children").read_text().split()
        yield int(children[0])
        subprocess.run(["kill", "-9", children[0]], check=True)


@pytest.mark.docker
def test_process_1_of_a_container_is_the_one_that_a_stop_tells(nested: int) -> None:
    assert _is_first(nested)
    assert not _is_first(1)
    assert not _is_first(2**22 + 1)
