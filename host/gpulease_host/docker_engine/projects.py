"""Project quotas of xfs, asked of the kernel directly: a folder's project, what it holds, and how much it may.

Docker gives each container's layer a project and limits its blocks. What Docker does not do is done here: limit the
number of files, which take space that no quota counts, and put volumes of the same container into the same project.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FS_GET_XATTR = 0x801C581F
_FS_SET_XATTR = 0x401C5820
_XATTR = struct.Struct("=5I8x")  # flags, extent size, extents, project, copy-on-write extent size
_INHERIT = 0x200

_SYS_QUOTACTL_FD = 443  # Linux 5.14, the same number on every processor
_PROJECT = 2
_GET_QUOTA, _SET_LIMITS = (0x5803 << 8 | _PROJECT, 0x5804 << 8 | _PROJECT)
# Version, flags, fields; project; hard and soft limit of blocks, of files; blocks and files held; and what is not used.
_QUOTA = struct.Struct("=bbHI6Q56x")
_VERSION = 1
_HARD_FILES = 1 << 1
_BLOCK_BYTES = 512

_libc = ctypes.CDLL(None, use_errno=True)


def project_of(folder: Path) -> int:
    """0: nobody's."""
    with _opened(folder) as descriptor:
        return int(_attributes(descriptor)[3])


def used_bytes(folder: Path) -> int:
    """What the project of this folder holds, wherever it lies, delayed writes included."""
    with _opened(folder) as descriptor:
        return int(_quota(descriptor)[8]) * _BLOCK_BYTES


def file_limit(folder: Path) -> int:
    """How many files the project of this folder may have; 0: any number."""
    with _opened(folder) as descriptor:
        return int(_quota(descriptor)[6])


def limit_files(folder: Path, most: int) -> None:
    with _opened(folder) as descriptor:
        project = _attributes(descriptor)[3]
        request = _QUOTA.pack(_VERSION, _PROJECT, _HARD_FILES, project, 0, 0, most, 0, 0, 0)
        _quotactl(descriptor, _SET_LIMITS, project, ctypes.create_string_buffer(request))


def adopt(tree: Path, project: int) -> None:
    """Everything in the tree counts to the project from now on, also what will be made in it."""
    for folder, _, names in os.walk(tree):
        _set_project(Path(folder), project, _INHERIT)
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                _set_project(path, project, 0)


def _set_project(path: Path, project: int, flag: int) -> None:
    with _opened(path) as descriptor:
        flags, extent, extents, _, cow = _attributes(descriptor)
        fcntl.ioctl(descriptor, _FS_SET_XATTR, _XATTR.pack(flags | flag, extent, extents, project, cow))


def _attributes(descriptor: int) -> tuple[int, ...]:
    answer = bytearray(_XATTR.size)
    fcntl.ioctl(descriptor, _FS_GET_XATTR, answer)
    return _XATTR.unpack(answer)


def _quota(descriptor: int) -> tuple[int, ...]:
    answer = ctypes.create_string_buffer(_QUOTA.size)
    _quotactl(descriptor, _GET_QUOTA, _attributes(descriptor)[3], answer)
    return _QUOTA.unpack(answer.raw)


def _quotactl(descriptor: int, command: int, project: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    arguments = (ctypes.c_long(_SYS_QUOTACTL_FD), ctypes.c_uint(descriptor), ctypes.c_uint(command))
    if _libc.syscall(*arguments, ctypes.c_uint(project), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
