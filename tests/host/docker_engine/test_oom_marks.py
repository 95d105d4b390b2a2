"""A container begins as whoever dies first, and loses that mark once all of it was seen within its share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.oom_marks import MARKED, UNMARKED, OomMarks

GROUP = "tenants/a"


class Group:
    """Processes of one container, and what it holds."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.held = 10
        self.numbers: list[int] = []

    def begin(self, pid: int, score: str = MARKED) -> None:
        (self.proc / str(pid)).mkdir()
        (self.proc / str(pid) / "oom_score_adj").write_text(score)
        self.numbers.append(pid)

    def scores(self) -> list[str]:
        return [(self.proc / str(pid) / "oom_score_adj").read_text() for pid in self.numbers]

    def pids(self, group: str) -> list[int]:
        return list(self.numbers)

    def used_memory_bytes(self, group: str) -> int:
        return self.held

    held_memory_bytes = used_memory_bytes


def marks_of(group: Group) -> OomMarks:
    cgroups: Any = group
    return OomMarks(cgroups, group.proc)


def test_what_is_within_its_share_loses_the_mark_also_what_was_begun_meanwhile(tmp_path: Path) -> None:
    group = Group(tmp_path)
    marks = marks_of(group)
    marks.apply({GROUP: 100})
    group.begin(1)
    marks.apply({GROUP: 100})
    group.begin(2)  # by the first, before it had lost its own
    marks.apply({GROUP: 100})
    assert group.scores() == [UNMARKED, UNMARKED]


def test_what_is_above_has_the_mark_until_it_is_back(tmp_path: Path) -> None:
    group = Group(tmp_path)
    marks = marks_of(group)
    group.begin(1, UNMARKED)
    for held, score in ((10, UNMARKED), (200, MARKED), (200, MARKED), (10, UNMARKED), (10, UNMARKED)):
        group.held = held
        marks.apply({GROUP: 100})
        assert group.scores() == [score]


def test_what_has_all_its_share_is_not_looked_through_again_and_again(tmp_path: Path) -> None:
    group = Group(tmp_path)
    marks = marks_of(group)
    group.begin(1)
    for _ in range(2):
        marks.apply({GROUP: 100})
    group.begin(2)
    marks.apply({GROUP: 100})
    assert group.scores() == [UNMARKED, MARKED]


def test_while_docker_begins_a_command_all_processes_are_looked_at_and_once_more_after_it(tmp_path: Path) -> None:
    """What Docker begins in a container has the mark of its configuration, however long ago that was started."""
    group = Group(tmp_path)
    marks = marks_of(group)
    group.begin(1)
    for _ in range(3):
        marks.apply({GROUP: 100})
    marks.restless[GROUP] += 1
    marks.apply({GROUP: 100})
    group.begin(2)
    marks.apply({GROUP: 100})
    assert group.scores() == [UNMARKED, UNMARKED]
    group.begin(3)
    marks.restless[GROUP] -= 1
    marks.apply({GROUP: 100})
    assert group.scores() == [UNMARKED] * 3
