"""What is mounted where, as the kernel says it in `mountinfo`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    point: Path
    options: frozenset[str]
    """Of the file system, not of this mount of it."""

    def option(self, name: str) -> str | None:
        """The value of `name=value`."""
        return next((each.partition("=")[2] for each in self.options if each.startswith(f"{name}=")), None)


def mount_at(point: Path, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """The last one: it covers those before."""
    return next((each for each in reversed(list(_mounts(mountinfo))) if each.point == point), None)


def mount_of(path: Path, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """The one that holds a path, which has no symbolic links."""
    holding = [each for each in _mounts(mountinfo) if path.is_relative_to(each.point)]
    return max(reversed(holding), key=lambda each: len(each.point.parts), default=None)


def _mounts(mountinfo: Path) -> Iterator[Mount]:
    """In bytes: whoever plugs in a disk may name it as he likes, and Python knows more separators than the kernel."""
    for line in mountinfo.read_bytes().split(b"\n"):
        fields = line.split(b" ")
        if len(fields) > 4:
            yield Mount(Path(_plain(fields[4])), frozenset(_plain(fields[-1]).split(",")))


def _plain(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-3][0-7]{2})", lambda found: bytes([int(found[1], 8)]), field))
