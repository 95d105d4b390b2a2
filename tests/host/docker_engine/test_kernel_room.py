"""What the kernel counts by user is not a tenant's to use up."""

from __future__ import annotations

import ctypes
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.docker_engine import kernel_room
from gpulease_host.docker_engine.kernel_room import LEAST, UNLIMITED
from tests.host.docker_engine.bench import SMALL, Bench, name_of, wait_until

INSTANCES = 140
"""More than the 128 of inotify that most kernels give a user."""


@pytest.fixture
def proc_sys(tmp_path: Path) -> Path:
    for name in UNLIMITED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("16384\n")
    for name, least in LEAST.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{least // 2}\n")
    return tmp_path


def test_what_is_too_low_is_raised_and_nothing_is_lowered(proc_sys: Path) -> None:
    higher = proc_sys / "kernel/pid_max"
    higher.write_text(f"{1 << 22}\n")
    kernel_room.ensure(proc_sys)
    assert [(proc_sys / name).read_text() for name in UNLIMITED] == ["0"]
    assert higher.read_text() == f"{1 << 22}\n"
    assert {name: int((proc_sys / name).read_text()) for name in LEAST if name != "kernel/pid_max"} == {
        name: least for name, least in LEAST.items() if name != "kernel/pid_max"
    }


@pytest.mark.parametrize("obstacle", ["missing", "not a number"])
def test_a_kernel_without_one_of_them_gets_the_others(proc_sys: Path, obstacle: str) -> None:
    first, *others = LEAST
    if obstacle == "missing":
        (proc_sys / first).unlink()
    else:
        (proc_sys / first).write_text("many")
    kernel_room.ensure(proc_sys)
    assert [int((proc_sys / name).read_text()) for name in others] == [LEAST[name] for name in others]


@pytest.mark.docker
def test_root_of_the_machine_has_inotify_while_a_container_holds_as_much_as_it_gets(bench: Bench) -> None:
    script = f"i=0; while [ $i -lt {INSTANCES} ]; do inotifyd true /tmp & i=$((i+1)); done; echo begun; wait"
    order = bench.run("sh", "-c", script, limits=replace(SMALL, pids=300))
    wait_until(lambda: b"begun" in bench.client.logs(name_of(order)), 60)
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.inotify_init1(os.O_CLOEXEC)
    assert made >= 0, os.strerror(ctypes.get_errno())
    os.close(made)
    said = bench.client.logs(name_of(order)).decode()
    assert "Too many open files" not in said, "or it has not begun as many as it wanted"


@pytest.mark.docker
def test_a_container_may_queue_no_more_than_a_part_of_what_root_may(bench: Bench) -> None:
    order = bench.run("sh", "-c", "cat /proc/self/limits; sleep 600")
    wait_until(lambda: b"Max msgqueue" in bench.client.logs(name_of(order)), 30)
    said = bench.client.logs(name_of(order)).decode().splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in said}
    assert limits["Max pending signals"] == ["4096", "4096"]
    assert limits["Max msgqueue size"] == [str(400 << 10)] * 2
