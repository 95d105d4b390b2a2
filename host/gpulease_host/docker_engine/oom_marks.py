"""Makes the kernel's OOM killer choose by excess instead of size.

When the tenants' memory runs out, the kernel kills the largest process, whoever lives within its share. So every
process of a container above its baseline carries `oom_score_adj` 1000, and 0 again once it is back within: then
only borrowers are chosen. A container begins with the mark, since it may take all memory before anybody looks. Base
values below 0 are not possible: containers fail to start with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gpulease_host.docker_engine.cgroups import Cgroups

MARKED = "1000"
"""As `OomScoreAdj` of a container's configuration has it, too."""
UNMARKED = "0"


class OomMarks:
    def __init__(self, cgroups: Cgroups, proc: Path = Path("/proc")) -> None:
        self._cgroups = cgroups
        self._proc = proc
        self._within: set[str] = set()
        self.restless = Counter[str]()
        """Groups in which others than their own processes are begun now, with the mark: what Docker begins has it."""

    def apply(self, baselines: Mapping[str, int]) -> None:
        """One round over the groups of running containers and what each may hold unmarked."""
        for group, baseline_bytes in baselines.items():
            try:
                self._apply(group, baseline_bytes)
            except OSError:  # it ended meanwhile
                self._within.discard(group)
        self._within &= baselines.keys()

    def _apply(self, group: str, baseline_bytes: int) -> None:
        if self._is_above(group, baseline_bytes):
            self._within.discard(group)
            self._write(group, MARKED)
        elif self.restless[group]:
            self._within.discard(group)
            self._write(group, UNMARKED)
        elif group not in self._within and self._write(group, UNMARKED):  # was above, or never seen by this daemon
            self._within.add(group)

    def _is_above(self, group: str, baseline_bytes: int) -> bool:
        """Usage is one cheap number, and mostly answers already; what is held of it takes the kernel longer."""
        if self._cgroups.used_memory_bytes(group) <= baseline_bytes:
            return False
        return self._cgroups.held_memory_bytes(group) > baseline_bytes

    def _write(self, group: str, score: str) -> bool:
        """Whether all had it already, of one at least. Children inherit it; what appears by another way between two
        rounds, or is begun by one that has not got it yet, is found in the next."""
        pids = self._cgroups.pids(group)
        had_it = bool(pids)
        for pid in pids:
            file = self._proc / str(pid) / "oom_score_adj"
            try:
                if file.read_text().strip() != score:
                    had_it = False
                    file.write_text(score)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return had_it
