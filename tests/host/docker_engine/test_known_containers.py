"""Containers of an earlier daemon are found and ended, and held to their shares, without a word from Docker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.engine import DockerEngine
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.known_containers import KnownContainers, kill_processes
from gpulease_host.docker_engine.machine import KEPT_S, Machine
from gpulease_host.docker_engine.oom_guard import OomGuard
from gpulease_host.docker_engine.oom_marks import OomMarks
from gpulease_host.docker_engine.shares import Shares, do_all
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.engine import EngineUnavailableError, LimitsError
from gpulease_host.inventory_simulated import SimulatedGpus
from gpulease_host.toolkit.store import ToolkitStore
from tests.host.docker_engine.trees import TREES, v1_tree, v2_tree
from tests.host.fakes import FakeClock
from tests.host.orders import order


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as made:
        yield made
        made.kill()


def engine_on(folder: Path) -> DockerEngine:
    """Docker does not answer it, and never has."""
    gpus, ways_in = SimulatedGpus(1, "seed"), WaysIn(folder, ToolkitStore(folder))
    return DockerEngine("unix:///none", 7, gpus, ways_in, known_path=folder / "container-ids")


@pytest.mark.parametrize("group", ["gpulease/abc", "gpulease.slice/docker-abc.scope"])
def test_a_container_of_an_earlier_process_is_killed_without_docker(
    tmp_path: Path, process: subprocess.Popen[bytes], group: str
) -> None:
    processes = tmp_path / "cgroup" / "memory" / group / "cgroup.procs"
    processes.parent.mkdir(parents=True)
    processes.write_text(f"{process.pid}\n")
    KnownContainers(tmp_path / "container-ids").note(11, "abc")
    engine = engine_on(tmp_path)
    engine._cgroups = Cgroups(tmp_path / "cgroup")
    assert not engine.kill(12)
    assert engine.kill(11)
    assert process.wait(5) == -9


def test_where_the_kernel_kills_a_whole_group_it_is_asked_to(tmp_path: Path) -> None:
    cgroups = v2_tree(tmp_path)
    (tmp_path / "gpulease" / "abc" / "cgroup.kill").touch()
    assert kill_processes(cgroups, "gpulease", "abc", lambda *_: pytest.fail("one by one"))
    assert (tmp_path / "gpulease" / "abc" / "cgroup.kill").read_text() == "1"
    assert not kill_processes(cgroups, "gpulease", "other")


def test_what_an_unproved_docker_shows_replaces_nothing(tmp_path: Path) -> None:
    known = KnownContainers(tmp_path / "ids")
    known.note(11, "abc")
    known.note_seen({11: "other", 12: "def"})
    again = KnownContainers(tmp_path / "ids")
    assert (again.id_of(11), again.id_of(12)) == ("abc", "def")
    again.forget(11)
    assert KnownContainers(tmp_path / "ids").id_of(11) is None


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "ids").write_text(content)
    assert KnownContainers(tmp_path / "ids").id_of(11) is None


def test_an_id_that_cannot_be_written_is_known_all_the_same(tmp_path: Path) -> None:
    known = KnownContainers(tmp_path / "missing" / "ids")
    known.note(11, "abc")
    assert known.id_of(11) == "abc"


@pytest.mark.parametrize("layout", TREES)
def test_a_share_is_held_although_the_group_of_all_tenants_cannot_be_set_up(tmp_path: Path, layout: str) -> None:
    cgroups = TREES[layout](tmp_path / "cgroup", weight=99)
    tenants, known, done = TenantsGroup(cgroups, "gpulease", 0, systemd=False), KnownContainers(None), list[int]()
    known.note(11, "abc")
    guard = OomGuard(cgroups, tenants.name, OomMarks(cgroups))
    shares = Shares(cgroups, tenants, guard, Ghosts(cgroups, tenants), known)

    def refuse() -> None:
        raise LimitsError("systemctl hangs")

    tenants.ensure = refuse  # type: ignore[method-assign]
    steps = [step for step in shares.steps({11: order().limits}) if getattr(step, "func", None) != guard.watch_only]
    with pytest.raises(LimitsError, match="systemctl hangs"):
        do_all(*steps, lambda: done.append(1))
    assert cgroups.cpu_weight("gpulease/abc") == cgroups.weight_of(order().limits.cpu_weight_permille)
    assert done == [1]


def test_a_container_that_is_being_started_gets_its_limits_of_its_start(tmp_path: Path) -> None:
    cgroups = v1_tree(tmp_path / "cgroup", weight=99)
    tenants, known = TenantsGroup(cgroups, "gpulease", 0, systemd=False), KnownContainers(None)
    known.note(11, "abc")
    ghosts = Ghosts(cgroups, tenants)
    shares = Shares(cgroups, tenants, OomGuard(cgroups, tenants.name, OomMarks(cgroups)), ghosts, known)
    with ghosts.none_while_starting("abc"):
        shares.steps({11: order().limits})[-1]()
    assert cgroups.cpu_weight("gpulease/abc") == 99


def test_a_host_that_is_not_in_order_fails_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_on(tmp_path)

    def refuse() -> None:
        raise LimitsError("the tenants' control group reads back other limits")

    monkeypatch.setattr(engine._firewall, "first_time", refuse)
    with pytest.raises(EngineUnavailableError, match="host_not_prepared") as caught:
        engine._prepare_host()
    assert "reads back" in caught.value.details


def test_what_docker_said_of_the_machine_holds_for_a_while(tmp_path: Path) -> None:
    clock = FakeClock()
    machine = Machine(engine_on(tmp_path)._api, clock)
    with pytest.raises(EngineUnavailableError):
        machine.info()
    machine._info, machine._read_at = {"ServerVersion": "26"}, clock()
    clock.now += KEPT_S - 1
    assert machine.info() == {"ServerVersion": "26"}
    clock.now += KEPT_S
    with pytest.raises(EngineUnavailableError):
        machine.info()
