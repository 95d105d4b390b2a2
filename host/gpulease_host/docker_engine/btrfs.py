"""What btrfs knows of one subvolume's size, asked of the kernel directly.

Docker's own `size` option limits what a container *refers to*, its image included. What a contract reserves is what
the container adds, which btrfs calls exclusive: so that is limited and read here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_SYSTEMS = Path("/sys/fs/btrfs")

_MAGIC = 0x94 << 8
_READ, _WRITE = 2 << 30, 1 << 30
_QGROUP_LIMIT = _READ | 48 << 16 | _MAGIC | 43
_INO_LOOKUP = _READ | _WRITE | 4096 << 16 | _MAGIC | 18
_TREE_SEARCH = _READ | _WRITE | 4096 << 16 | _MAGIC | 17

_QUOTA_CTL = _READ | _WRITE | 16 << 16 | _MAGIC | 40
_QUOTA_RESCAN = _WRITE | 64 << 16 | _MAGIC | 44
_FS_INFO = _READ | 1024 << 16 | _MAGIC | 31

_ENABLE = 1
_LIMIT_EXCLUSIVE = 1 << 1
_FSID_AT = 16
_FIRST_OBJECT_ID = 256
_QUOTA_TREE_ID = 8
QGROUP_INFO_KEY, _QGROUP_LIMIT_KEY = 242, 244
_MANY = 1000
_SEARCH_KEY = struct.Struct("=7Q4I4Q")
_SEARCH_HEADER = struct.Struct("=3Q2I")
_QGROUP_ITEM = struct.Struct("=5Q")
_U64_MAX = 2**64 - 1


def limit_exclusive(subvolume: Path, max_bytes: int) -> None:
    """Refuse writes once the subvolume holds that much of its own.

    Docker switches quotas off when it stops, and with them every limit is forgotten: so they are switched on here.
    """
    own_group = 0  # means: the subvolume's own
    request = struct.pack("=6Q", own_group, _LIMIT_EXCLUSIVE, 0, max_bytes, 0, 0)
    with opened(subvolume) as descriptor:
        try:
            fcntl.ioctl(descriptor, _QGROUP_LIMIT, request)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            fcntl.ioctl(descriptor, _QUOTA_CTL, struct.pack("=2Q", _ENABLE, 0))
            fcntl.ioctl(descriptor, _QGROUP_LIMIT, request)


def exclusive_limit_bytes(subvolume: Path) -> int | None:
    """What the subvolume may hold of its own; None without a limit, or without quotas."""
    limit = _read_group(subvolume, _QGROUP_LIMIT_KEY)
    if limit is None:
        return None
    flags, _referred, max_exclusive, _, _ = limit
    return max_exclusive if flags & _LIMIT_EXCLUSIVE else None


def recount(subvolume: Path) -> bool:
    """Whether the kernel's count can be trusted now; where it has lost it, a rescan is begun.

    While it has lost count it refuses nothing. It says so in sysfs, and counts again only when asked to.
    """
    flag = qgroups_of(subvolume) / "inconsistent"
    if not flag.exists() or flag.read_text().strip() == "0":
        return True
    with opened(subvolume) as descriptor, contextlib.suppress(OSError):  # one is under way already
        fcntl.ioctl(descriptor, _QUOTA_RESCAN, bytes(64))
    return False


def qgroups_of(directory: Path) -> Path:
    """Where the kernel shows the state of the quotas of the directory's file system."""
    with opened(directory) as descriptor:
        info = bytearray(1024)
        fcntl.ioctl(descriptor, _FS_INFO, info)
    fsid = uuid.UUID(bytes=bytes(info[_FSID_AT : _FSID_AT + 16]))
    return FILE_SYSTEMS / str(fsid) / "qgroups"


def exclusive_bytes(subvolume: Path) -> int | None:
    """What the subvolume holds of its own, as of the last commit (every 30 s); None without quotas."""
    info = _read_group(subvolume, QGROUP_INFO_KEY)
    return None if info is None else info[3]


def _read_group(subvolume: Path, item_key: int) -> tuple[int, ...] | None:
    """An item of the subvolume's own group in the quota tree."""
    with opened(subvolume) as descriptor:
        return search(descriptor, item_key, subvolume_id(descriptor))


def subvolume_id(descriptor: int) -> int:
    return int(struct.unpack_from("=Q", _lookup(descriptor, _FIRST_OBJECT_ID))[0])


def path_of(descriptor: int, inode: int) -> bytes:
    """Of a folder in the subvolume, from its top; with a slash at the end, or empty."""
    return _lookup(descriptor, inode)[16:].partition(b"\0")[0]


def search(descriptor: int, item_key: int, group_id: int) -> tuple[int, ...] | None:
    """An item of a subvolume's group."""
    try:
        found = next(_items(descriptor, (_QUOTA_TREE_ID, 0, item_key), group_id), None)
    except FileNotFoundError:  # no quota tree
        return None
    return None if found is None else _QGROUP_ITEM.unpack_from(found[1])


def items(descriptor: int, tree_id: int, object_id: int, item_key: int) -> Iterator[tuple[int, bytes]]:
    """All of an object in a tree, each with its offset."""
    at = 0
    while True:
        found = list(_items(descriptor, (tree_id, object_id, item_key), at, _U64_MAX))
        yield from found
        if not found:
            return
        at = found[-1][0] + 1


def _items(
    descriptor: int, place: tuple[int, int, int], first: int, last: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """As many as fit into one answer. `place` is tree, object and kind."""
    tree_id, object_id, item_key = place
    key = _SEARCH_KEY.pack(
        *(tree_id, object_id, object_id, first, first if last is None else last, 0, _U64_MAX),
        *(item_key, item_key, _MANY, 0),
        *(0, 0, 0, 0),
    )
    answer = bytearray(key.ljust(4096, b"\0"))
    fcntl.ioctl(descriptor, _TREE_SEARCH, answer)
    at = _SEARCH_KEY.size
    for _ in range(_SEARCH_KEY.unpack_from(answer)[9]):
        _, _, offset, _, length = _SEARCH_HEADER.unpack_from(answer, at)
        at += _SEARCH_HEADER.size + length
        yield offset, bytes(answer[at - length : at])


def _lookup(descriptor: int, inode: int) -> bytes:
    lookup = bytearray(struct.pack("=2Q", 0, inode).ljust(4096, b"\0"))
    fcntl.ioctl(descriptor, _INO_LOOKUP, lookup)
    return bytes(lookup)


@contextmanager
def opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
