"""Subvolumes that lie in a container's own: no limit holds them, and a read-only one is in the way of its removal.

No container can make them any more (`seccomp`). One that was created by an earlier version could, and keeps them.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.docker_engine import btrfs

_MAGIC = 0x94 << 8
_READ, _WRITE = 2 << 30, 1 << 30
_GET_FLAGS = _READ | 8 << 16 | _MAGIC | 25
_SET_FLAGS = _WRITE | 8 << 16 | _MAGIC | 26
_DESTROY = _WRITE | 4096 << 16 | _MAGIC | 63
_READ_ONLY = 1 << 1
_BY_ID = 1 << 4
_ROOT_TREE_ID = 1
_ROOT_REF_KEY = 156
_ROOT_REF = struct.Struct("=2QH")


@dataclass(frozen=True)
class Nested:
    id: int
    parent_id: int
    folder: int
    """The inode in its parent that it stands in."""
    name: bytes


def nested_in(subvolume: Path) -> list[Nested]:
    """All, at any depth, each after what it lies in."""
    with btrfs.opened(subvolume) as descriptor:
        return list(_nested(descriptor, btrfs.subvolume_id(descriptor)))


def referred_bytes(subvolume: Path) -> int:
    """What those in it hold, shared or not: a snapshot of what is limited counts again."""
    with btrfs.opened(subvolume) as descriptor:
        found = _nested(descriptor, btrfs.subvolume_id(descriptor))
        groups = (btrfs.search(descriptor, btrfs.QGROUP_INFO_KEY, each.id) for each in found)
        return sum(group[1] for group in groups if group is not None)


def delete_nested(subvolume: Path) -> None:
    """The deepest first, by number: no path to them can be too long, and none leads elsewhere."""
    with btrfs.opened(subvolume) as descriptor:
        found = list(_nested(descriptor, btrfs.subvolume_id(descriptor)))
        by_id = {each.id: each for each in found}
        for parent_id in {each.parent_id for each in found} & by_id.keys():
            _make_writable(descriptor, by_id, parent_id)
        for each in reversed(found):
            request = struct.pack("=8Q", 0, 0, _BY_ID, 0, 0, 0, 0, each.id).ljust(4096, b"\0")
            fcntl.ioctl(descriptor, _DESTROY, bytearray(request))


def _nested(descriptor: int, subvolume_id: int) -> Iterator[Nested]:
    waiting = deque([subvolume_id])
    while waiting:
        parent_id = waiting.popleft()
        for child_id, item in btrfs.items(descriptor, _ROOT_TREE_ID, parent_id, _ROOT_REF_KEY):
            folder, _, length = _ROOT_REF.unpack_from(item)
            yield Nested(child_id, parent_id, folder, item[_ROOT_REF.size : _ROOT_REF.size + length])
            waiting.append(child_id)


def _make_writable(top: int, by_id: dict[int, Nested], subvolume_id: int) -> None:
    """Nothing can be removed from a read-only one. It is reached from the top, step by step."""
    chain: list[Nested] = []
    while subvolume_id in by_id:
        chain.insert(0, by_id[subvolume_id])
        subvolume_id = by_id[subvolume_id].parent_id
    here = os.dup(top)
    try:
        for each in chain:
            path = btrfs.path_of(here, each.folder) + each.name
            deeper = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = deeper
        if btrfs.subvolume_id(here) == chain[-1].id:
            flags = bytearray(8)
            fcntl.ioctl(here, _GET_FLAGS, flags)
            (value,) = struct.unpack("=Q", flags)
            fcntl.ioctl(here, _SET_FLAGS, struct.pack("=Q", value & ~_READ_ONLY))
    finally:
        os.close(here)
