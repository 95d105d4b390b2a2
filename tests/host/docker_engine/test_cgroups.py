"""One module reads and writes both layouts of control groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpulease_host.docker_engine import kernel_limits
from gpulease_host.docker_engine.cgroups import Cgroups, shares_converted_to
from gpulease_host.docker_engine.oom_marks import OomMarks
from gpulease_host.engine import Limits, LimitsError
from tests.host.docker_engine.trees import GROUP, PIDS, TREES, v1_tree, v2_tree

LIMITS = Limits("1/4", 250, 4096_000, 8192_000, 0, PIDS, 0, 250)


def test_the_layout_is_told_from_the_root(tmp_path: Path) -> None:
    assert v1_tree(tmp_path / "1").version == 1
    assert v2_tree(tmp_path / "2").version == 2


def test_a_share_in_the_kernels_units(tmp_path: Path) -> None:
    v1, v2 = v1_tree(tmp_path / "1"), v2_tree(tmp_path / "2")
    assert [v1.weight_of(permille) for permille in (1000, 250, 1)] == [1024, 256, 2]
    assert [v2.weight_of(permille) for permille in (1000, 250, 1)] == [1000, 250, 1]


def test_shares_of_which_an_older_runtime_makes_the_weight() -> None:
    def converted(shares: int) -> int:
        return 1 + (shares - 2) * 9_999 // 262_142

    for weight in (1, 2, 63, 125, 250, 333, 500, 1000, 10_000):
        assert converted(shares_converted_to(weight)) == weight
        assert weight == 1 or converted(shares_converted_to(weight) - 1) == weight - 1


@pytest.mark.parametrize("layout", TREES)
def test_what_is_written_is_read(tmp_path: Path, layout: str) -> None:
    groups = TREES[layout](tmp_path)
    groups.set_cpu_weight(GROUP, 77)
    groups.set_memory_limit(GROUP, 1 << 30)
    groups.set_memory_low(GROUP, 1 << 20)
    assert (groups.cpu_weight(GROUP), groups.memory_limit_bytes(GROUP), groups.memory_low_bytes(GROUP)) == (
        77,
        1 << 30,
        1 << 20,
    )


@pytest.mark.parametrize("layout", TREES)
def test_held_memory_leaves_the_file_cache_out_and_keeps_shared_memory(tmp_path: Path, layout: str) -> None:
    groups = TREES[layout](tmp_path, used=1000, cache=600, shmem=150)
    assert groups.held_memory_bytes(GROUP) == 1000 - (600 - 150)


def test_no_limit_on_v2_is_none(tmp_path: Path) -> None:
    assert v2_tree(tmp_path).memory_limit_bytes(GROUP) is None


@pytest.mark.parametrize("layout", TREES)
def test_processes_of_groups_below_count(tmp_path: Path, layout: str) -> None:
    groups = TREES[layout](tmp_path)
    below = (tmp_path if layout == "v2" else tmp_path / "memory") / GROUP / "made-by-tenant"
    below.mkdir()
    (below / "cgroup.procs").write_text("13\n")
    assert sorted(groups.pids(GROUP)) == [11, 12, 13]


def test_v2_passes_controllers_down_to_a_new_group(tmp_path: Path) -> None:
    groups = v2_tree(tmp_path)
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "cgroup.controllers").write_text("cpu memory\n")
    groups.create("fresh")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +cpuset +io +memory +pids"
    assert (tmp_path / "fresh" / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_v1_makes_a_new_group_under_each_controller(tmp_path: Path) -> None:
    v1_tree(tmp_path).create("fresh")
    assert (tmp_path / "cpu/fresh").is_dir()
    assert (tmp_path / "memory/fresh").is_dir()


def test_the_rest_of_the_host_is_what_is_not_ours(tmp_path: Path) -> None:
    groups = v1_tree(tmp_path)
    for name, weight in (("system.slice", 1024), ("docker", 512), ("gpulease-docker", 20480)):
        (tmp_path / "cpu" / name).mkdir()
        (tmp_path / "cpu" / name / "cpu.shares").write_text(f"{weight}\n")
    assert groups.root_weights(except_prefix="gpulease") == 1536


@pytest.mark.parametrize("layout", TREES)
def test_a_wrong_weight_is_written_and_limits_that_differ_are_an_error(tmp_path: Path, layout: str) -> None:
    groups = TREES[layout](tmp_path, weight=99)
    groups.set_memory_limit(GROUP, 8192_000)
    assert kernel_limits.apply(groups, GROUP, LIMITS)
    assert groups.cpu_weight(GROUP) == groups.weight_of(250)
    groups.set_memory_limit(GROUP, 4096)
    with pytest.raises(LimitsError, match="other limits"):
        kernel_limits.apply(groups, GROUP, LIMITS)


@pytest.mark.parametrize("layout", TREES)
def test_limits_of_a_group_that_is_gone_are_no_error(tmp_path: Path, layout: str) -> None:
    assert not kernel_limits.apply(TREES[layout](tmp_path), "gpulease/gone", LIMITS)


@pytest.mark.parametrize("layout", TREES)
def test_a_container_that_ended_at_once_needs_no_limits_also_where_docker_learns_it_late(
    tmp_path: Path, layout: str
) -> None:
    answers = iter([True, True, False])
    kernel_limits.apply_to_started(TREES[layout](tmp_path), "gpulease/gone", LIMITS, lambda: next(answers))
    assert next(answers, None) is None


@pytest.mark.parametrize("layout", TREES)
def test_a_group_that_is_half_removed_counts_as_gone(tmp_path: Path, layout: str) -> None:
    groups = TREES[layout](tmp_path)
    ((tmp_path if layout == "v2" else tmp_path / "pids") / GROUP / "pids.max").unlink()
    assert not kernel_limits.apply(groups, GROUP, LIMITS)


@pytest.mark.parametrize("layout", TREES)
def test_a_container_that_runs_outside_its_group_is_an_error(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_limits, "PAUSE_S", 0)
    with pytest.raises(LimitsError, match="not where Docker was told"):
        kernel_limits.apply_to_started(TREES[layout](tmp_path), "gpulease/elsewhere", LIMITS, lambda: True)


@pytest.mark.parametrize("layout", TREES)
def test_limits_of_processes_that_differ_are_an_error(tmp_path: Path, layout: str) -> None:
    groups = TREES[layout](tmp_path)
    groups.set_memory_limit(GROUP, 8192_000)
    with pytest.raises(LimitsError, match="pids=64"):
        kernel_limits.apply(groups, GROUP, replace(LIMITS, pids=63))


@pytest.mark.parametrize(
    ("layout", "files"), [("v1", ["blkio.bfq.weight"]), ("v2", ["io.weight"]), ("v2", ["io.bfq.weight", "io.weight"])]
)
def test_io_weights_are_written_wherever_the_kernel_has_one(tmp_path: Path, layout: str, files: list[str]) -> None:
    groups = TREES[layout](tmp_path)
    groups.set_memory_limit(GROUP, 8192_000)
    assert groups.io_weights(GROUP) == []
    weights = [(tmp_path if layout == "v2" else tmp_path / "blkio") / GROUP / file for file in files]
    for weight in weights:
        weight.write_text("default 100\n8:0 500\n")
    assert groups.io_weights(GROUP) == [100] * len(files)
    kernel_limits.apply(groups, GROUP, LIMITS)
    assert [weight.read_text() for weight in weights] == ["250"] * len(files)


def test_a_group_is_killed_at_once_where_the_kernel_can(tmp_path: Path) -> None:
    groups = v2_tree(tmp_path)
    assert not groups.kill(GROUP)
    (tmp_path / GROUP / "cgroup.kill").touch()
    assert groups.kill(GROUP)
    assert (tmp_path / GROUP / "cgroup.kill").read_text() == "1"
    assert not v1_tree(tmp_path / "1").kill(GROUP)


class Processes:
    def __init__(self, proc: Path, *pids: int) -> None:
        self._files = [proc / str(pid) / "oom_score_adj" for pid in pids]
        for file in self._files:
            file.parent.mkdir(parents=True)
            file.write_text("0\n")

    def marks(self) -> set[str]:
        return {file.read_text().strip() for file in self._files}


@pytest.mark.parametrize("layout", TREES)
def test_every_process_is_marked_above_the_baseline_and_unmarked_below(tmp_path: Path, layout: str) -> None:
    processes = Processes(tmp_path / "proc", 11, 12)
    marks = OomMarks(TREES[layout](tmp_path / "cgroup", used=1000), tmp_path / "proc")
    marks.apply({GROUP: 999})
    assert processes.marks() == {"1000"}
    marks.apply({GROUP: 1000})
    assert processes.marks() == {"0"}


def test_what_a_daemon_before_us_marked_is_unmarked(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "proc", 11, 12)
    groups = v1_tree(tmp_path / "cgroup", used=1000)
    OomMarks(groups, tmp_path / "proc").apply({GROUP: 999})
    OomMarks(groups, tmp_path / "proc").apply({GROUP: 1000})
    assert processes.marks() == {"0"}


def test_processes_and_groups_that_end_meanwhile_are_no_error(tmp_path: Path) -> None:
    groups: Cgroups = v1_tree(tmp_path / "cgroup", used=1000)
    OomMarks(groups, tmp_path / "proc").apply({GROUP: 1, "gpulease/gone": 1})
