"""The group above all tenants: what it is called, what is written to it, and what is asked of systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.docker_engine.cgroups import Cgroups
from gpulease_host.docker_engine.tenants_group import TenantsGroup
from gpulease_host.engine import LimitsError

MEMORY_BYTES = 400 << 20


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What systemctl is asked, in place of it."""
    program, log = tmp_path / "bin" / "systemctl", tmp_path / "asked"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return log


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """cgroup v2 as systemd makes it, with the slice there."""
    root = tmp_path / "cgroup"
    for name in ("", "system.slice", "gpulease.slice"):
        (root / name).mkdir()
        (root / name / "cgroup.controllers").write_text("cpu io memory pids\n")
    (root / "cgroup.procs").touch()
    (root / "system.slice" / "cpu.weight").write_text("100\n")
    for file, text in {"cpu.weight": "100", "memory.max": "max", "memory.low": "0"}.items():
        (root / "gpulease.slice" / file).write_text(f"{text}\n")
    return root


def test_a_slice_has_its_numbers_of_systemd_and_the_reservation_is_one_of_them(root: Path, asked: Path) -> None:
    TenantsGroup(Cgroups(root), "gpulease", MEMORY_BYTES, systemd=True).ensure()
    start, properties = asked.read_text().splitlines()
    assert start == "start gpulease.slice"
    assert properties.split() == [
        *("set-property", "--runtime", "gpulease.slice", "CPUWeight=1000", "IOWeight=1000"),
        *(f"MemoryMax={MEMORY_BYTES}", f"MemoryLow={MEMORY_BYTES}", "TasksMax=infinity"),
    ]


def test_a_reservation_that_is_gone_is_put_right_and_else_nothing_is_asked(root: Path, asked: Path) -> None:
    tenants = TenantsGroup(Cgroups(root), "gpulease", MEMORY_BYTES, systemd=True)
    tenants.ensure()
    (root / "gpulease.slice" / "memory.low").write_text("0\n")
    for _ in range(2):
        tenants.ensure()
    assert (root / "gpulease.slice" / "memory.low").read_text() == str(MEMORY_BYTES)
    assert len(asked.read_text().splitlines()) == 3


def test_without_an_answer_of_systemd_the_reason_says_which_group_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LimitsError, match=r"gpulease\.slice could not be set up"):
        TenantsGroup(Cgroups(root), "gpulease", MEMORY_BYTES, systemd=True).ensure()


def test_a_name_with_dashes_is_still_a_slice_of_the_root(root: Path) -> None:
    tenants = TenantsGroup(Cgroups(root), "gpulease-test-7", MEMORY_BYTES, systemd=True)
    assert tenants.docker_parent == tenants.name == "gpulease_test_7.slice"
    assert tenants.of_container("abc") == "gpulease_test_7.slice/docker-abc.scope"


def test_where_docker_keeps_groups_a_dash_is_nothing_special(root: Path) -> None:
    tenants = TenantsGroup(Cgroups(root), "gpulease-test-7", MEMORY_BYTES, systemd=False)
    assert (tenants.docker_parent, tenants.of_container("abc")) == ("/gpulease-test-7", "gpulease-test-7/abc")
    assert not tenants.systemd_weighs
