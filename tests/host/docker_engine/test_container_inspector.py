"""Each container is looked at on its own: what is wrong with one is said of that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine.container_inspector import ContainerInspector
from gpulease_host.docker_engine.container_state import container_of
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.known_containers import KnownContainers
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import Container, EngineError, EngineUnavailableError, StuckError
from tests.host.docker_engine.test_rules import inspected
from tests.host.docker_engine.trees import v1_tree


class OneBadContainer(DockerApi):
    """Of two that run, looking at the first raises `error`."""

    def __init__(self, error: EngineError) -> None:
        super().__init__("unix:///none")
        self.error = error
        self.looked: list[str] = []

    def inspect_container(self, name: str) -> dict[str, Any] | None:
        self.looked.append(name)
        if name == "gpulease-11":
            raise self.error
        found = inspected("running", 0, flagged=False)
        found["State"]["Running"], found["Config"]["Labels"]["gpulease.instance"] = True, "12"
        return found


def listed(instance_id: int, container_id: str, state: str = "running") -> dict[str, Any]:
    labels = inspected("running", 0, flagged=False)["Config"]["Labels"]
    return {"Id": container_id, "State": state, "Labels": {**labels, "gpulease.instance": str(instance_id)}}


class Machine:
    def __init__(self, folder: Path, docker: DockerApi) -> None:
        cgroups = v1_tree(folder)
        self.groups, self.known = folder / "memory" / "gpulease", KnownContainers(None)
        tenants = TenantsGroup(cgroups, "gpulease", 0, systemd=False)
        self.ghosts = Ghosts(cgroups, tenants)
        parts = (docker, self.known, self.ghosts, cgroups, tenants)
        self.sightings = ContainerInspector(*parts, dict, lambda found: container_of(found, lambda *_: None, {}))

    def has_processes(self, container_id: str) -> None:
        (self.groups / container_id).mkdir(parents=True)
        (self.groups / container_id / "cgroup.procs").write_text("4000001\n")

    def see(self, of: int | None = None) -> list[Container]:
        return self.sightings.containers([listed(11, "a" * 64), listed(12, "b" * 64)], of)


@pytest.mark.parametrize("error", [StuckError("Docker hangs."), RefusedError(500, "input/output error")])
@pytest.mark.parametrize("runs", [True, False])
def test_of_one_that_docker_says_nothing_of_the_kernel_says_whether_it_runs(
    tmp_path: Path, error: EngineError, runs: bool
) -> None:
    machine = Machine(tmp_path, OneBadContainer(error))
    if runs:
        machine.has_processes("a" * 64)
    bad, good = machine.see()
    assert (bad.status, bad.hangs) == ("running" if runs else "exited", str(error))
    assert (good.status, good.hangs) == ("running", None)
    assert machine.known.id_of(11) == "a" * 64


def test_a_docker_that_is_away_says_nothing_of_any(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError):
        Machine(tmp_path, OneBadContainer(EngineUnavailableError("refused"))).see()


def test_who_asks_for_one_waits_for_no_other(tmp_path: Path) -> None:
    docker = OneBadContainer(StuckError("Docker hangs."))
    seen = Machine(tmp_path, docker).see(of=12)
    assert docker.looked == ["gpulease-12"]
    assert [each.status for each in seen] == ["running", "running"]
    assert seen[0].run is None


def test_one_that_is_being_started_is_not_waited_for(tmp_path: Path) -> None:
    docker = OneBadContainer(StuckError("Docker hangs."))
    machine = Machine(tmp_path, docker)
    with machine.ghosts.none_while_starting("a" * 64):
        assert machine.see()[0].hangs is None
    assert docker.looked == ["gpulease-12"]


def test_a_gpu_is_held_by_what_docker_lists_unless_it_hangs_on_one_without_a_process(tmp_path: Path) -> None:
    docker = OneBadContainer(StuckError("Docker hangs."))
    machine, one = Machine(tmp_path, docker), listed(11, "a" * 64)
    assert machine.sightings.holds_gpus(one)
    docker.stuck._names.add("gpulease-11")
    assert not machine.sightings.holds_gpus(one)
    machine.has_processes("a" * 64)
    assert machine.sightings.holds_gpus(one)
