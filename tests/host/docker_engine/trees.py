"""Control group trees of both layouts, as files in a directory: what the kernel would show."""

from __future__ import annotations

from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups

GROUP = "gpulease/abc"


PIDS = 64


def v1_tree(root: Path, *, weight: int = 256, used: int = 0, cache: int = 0, shmem: int = 0) -> Cgroups:
    for controller in ("cpu", "memory", "blkio", "pids"):
        (root / controller / GROUP).mkdir(parents=True)
    (root / "cpu" / "cgroup.procs").write_text("")
    (root / "cpu" / GROUP / "cpu.shares").write_text(f"{weight}\n")
    memory = root / "memory" / GROUP
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (memory / "memory.soft_limit_in_bytes").write_text("4096000\n")
    (memory / "memory.usage_in_bytes").write_text(f"{used}\n")
    (memory / "memory.stat").write_text(f"cache 0\nshmem 0\ntotal_cache {cache}\ntotal_shmem {shmem}\n")
    (memory / "cgroup.procs").write_text("11\n12\n")
    (root / "pids" / GROUP / "pids.max").write_text(f"{PIDS}\n")
    return Cgroups(root)


def v2_tree(root: Path, *, weight: int = 250, used: int = 0, cache: int = 0, shmem: int = 0) -> Cgroups:
    group = root / GROUP
    group.mkdir(parents=True)
    for directory in (root, group.parent):
        (directory / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (directory / "cgroup.subtree_control").write_text("")
    (group / "cpu.weight").write_text(f"{weight}\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.low").write_text("4096000\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 1\nfile {cache}\nshmem {shmem}\n")
    (group / "cgroup.procs").write_text("11\n12\n")
    (group / "pids.max").write_text(f"{PIDS}\n")
    return Cgroups(root)


TREES = {"v1": v1_tree, "v2": v2_tree}
