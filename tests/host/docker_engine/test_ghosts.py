"""What a Docker leaves that is killed in the middle of something, and that it does not know of afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from gpulease_host.docker_engine import bridges
from gpulease_host.docker_engine.ghosts import Ghosts
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import EngineError
from local import dockerd
from tests.host.docker_engine.bench import wait_until
from tests.host.docker_engine.private_docker import PrivateDocker
from tests.host.docker_engine.trees import TREES

SAVED = """*nat
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.213.0.0/28 ! -o gl-1 -j MASQUERADE
COMMIT
*filter
-A FORWARD -o gl-1 -m comment --comment "two words" -j DOCKER
-A FORWARD -o gl-12 -j DOCKER
COMMIT
"""


@pytest.mark.docker
def test_a_container_that_runs_without_dockers_knowledge_is_ended_and_then_starts(
    private_docker: PrivateDocker,
) -> None:
    bench = private_docker.bench
    order = bench.run("sleep", "600")
    container_id, processes = bench.docker_id(order), bench.pids(order)
    private_docker.kill()
    _make_docker_forget_that_it_started(private_docker, container_id)
    private_docker.start()
    assert bench.pids(order) == processes != [], "the test made no ghost"
    assert bench.seen(order).status == "created"
    assert bench.pids(order) == []
    bench.start(order, "sleep", "600")
    assert bench.seen(order).status == "running"


@pytest.mark.docker
def test_a_start_that_was_cut_off_half_way_can_be_repeated(private_docker: PrivateDocker) -> None:
    bench, hook = private_docker.bench, private_docker.daemon.programs / dockerd.HOOK_PROGRAM
    started = private_docker.state / "hook-started"
    before = hook.read_text()
    hook.write_text(before.replace("exec ", f"touch '{started}'; sleep 1; exec "))
    order = bench.order()

    def begin() -> None:
        with suppress(EngineError):  # Docker dies meanwhile
            bench.start(order, "sleep", "600")

    thread = threading.Thread(target=begin)
    thread.start()
    wait_until(started.exists, 10)
    private_docker.kill()
    thread.join()
    private_docker.start()
    hook.write_text(before)
    bench.start(order, "sleep", "600")
    assert bench.seen(order).status == "running"
    bench.engine.remove(order.contract_id, order.instance_id)
    assert bench.leftovers(order) == []


@pytest.mark.docker
def test_while_docker_is_away_a_container_that_has_just_started_can_be_killed(private_docker: PrivateDocker) -> None:
    bench = private_docker.bench
    order = bench.run("sleep", "600")
    process = Path(f"/proc/{bench.pids(order)[0]}")
    private_docker.kill()
    bench.engine.kill(order.instance_id)
    wait_until(lambda: not process.exists(), 10)
    private_docker.start()
    assert bench.seen(order).status == "exited"


@pytest.mark.parametrize("layout", TREES)
def test_shims_of_others_are_left_alone(tmp_path: Path, layout: str) -> None:
    proc, killed = tmp_path / "proc", list[int]()
    for pid, line in {
        21: "/usr/bin/containerd-shim-runc-v2 -namespace moby -id abc -address /run/x.sock",
        22: "/usr/bin/containerd-shim-runc-v2 -namespace moby -id other -address /run/abc",
        23: "cat abc",
    }.items():
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "cmdline").write_bytes(line.replace(" ", "\0").encode())
    (proc / "self").mkdir()
    cgroups = TREES[layout](tmp_path / "cgroup")

    def kill(pid: int, number: int) -> None:
        killed.append(pid)

    ghosts = Ghosts(cgroups, TenantsGroup(cgroups, "gpulease", 0, systemd=False), proc, kill, lambda _: None)
    with pytest.raises(EngineError, match="cannot be ended"):
        ghosts.end("abc")
    assert set(killed) == {21, 11, 12}
    assert not ghosts.end("nobody")


def test_a_start_that_is_under_way_is_no_ghost(tmp_path: Path) -> None:
    cgroups, killed = TREES["v1"](tmp_path / "cgroup"), list[int]()
    (tmp_path / "proc").mkdir()
    tenants = TenantsGroup(cgroups, "gpulease", 0, systemd=False)
    ghosts = Ghosts(cgroups, tenants, tmp_path / "proc", lambda pid, _: killed.append(pid), lambda _: None)
    with ghosts.none_while_starting("abc"):
        ghosts.lay("abc", lambda: False)
    ghosts.lay("abc", lambda: True)
    assert killed == []
    with pytest.raises(EngineError):
        ghosts.lay("abc", lambda: False)
    assert killed


def test_a_folder_in_the_way_is_emptied_but_nothing_below_it(tmp_path: Path) -> None:
    cgroups = TREES["v1"](tmp_path / "cgroup")
    (tmp_path / "proc").mkdir()
    ghosts = Ghosts(cgroups, TenantsGroup(cgroups, "gpulease", 0, systemd=False), tmp_path / "proc")
    folder = tmp_path / "moby" / "abc"
    (folder / "rootfs" / "data").mkdir(parents=True)
    (folder / "config.json").touch()
    refusal = f"failed to start shim: mkdir {folder}: file exists: unknown"
    (folder / "config.v2.json").touch()
    assert not ghosts.clear_folder("abc", refusal), "Docker's own folder of the container"
    assert (folder / "config.json").exists()
    (folder / "config.v2.json").unlink()
    assert not ghosts.clear_folder("abc", "no space left on device")
    assert not ghosts.clear_folder("abc", refusal)
    assert [each.name for each in folder.rglob("*")] == ["rootfs", "data"]
    (folder / "rootfs" / "data").rmdir()
    assert ghosts.clear_folder("abc", refusal)
    assert not folder.exists()


def test_rules_of_a_bridge_are_deleted_where_they_stand_and_those_of_others_are_not() -> None:
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str], text: str) -> tuple[int, str]:
        ran.append(command)
        return 0, SAVED if command == ["iptables-save"] else ""

    bridges.clear("gl-1", run)
    deleted = [command[3:] for command in ran if "-D" in command]
    assert deleted == [
        ["-t", "nat", "-D", "POSTROUTING", "-s", "10.213.0.0/28", "!", "-o", "gl-1", "-j", "MASQUERADE"],
        ["-t", "filter", "-D", "FORWARD", "-o", "gl-1", "-m", "comment", "--comment", "two words", "-j", "DOCKER"],
    ]


def _make_docker_forget_that_it_started(private_docker: PrivateDocker, container_id: str) -> None:
    """As if it had been killed after the task was begun and before that was written down."""
    file = private_docker.daemon.data_root / "containers" / container_id / "config.v2.json"
    config = json.loads(file.read_text())
    config["State"].update(Running=False, Pid=0, StartedAt="0001-01-01T00:00:00Z")
    file.write_text(json.dumps(config))
