"""The seccomp profile of containers: as strict as Docker's own, and no way to step around the limit of the disk.

Root in a container owns its files, so the kernel lets it move them to another project (xfs) or into a subvolume of
their own (btrfs), where no limit of ours counts them. Both are `ioctl`s, which Docker's own profile allows all.

A rule can test an argument only once, so what is refused is said by its complement: of all numbers the ones whose
first bits differ from every refused one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any

from gpulease_host.docker_engine import syscalls

_BTRFS = 0x94
# By the last 16 bits, type and number: those before say direction and size, which some compatible ABIs vary.
REFUSED_IOCTLS = frozenset(
    {
        0x5820,  # FS_IOC_FSSETXATTR: a file's project, and whether a folder passes its own on
        0x6602,  # FS_IOC_SETFLAGS: the latter again
        *range(_BTRFS << 8, (_BTRFS + 1) << 8),  # subvolumes, snapshots, quotas; and reflinks, without which cp copies
    }
)
_IOCTL_BITS = 16

_AF_ALG, _AF_VSOCK = 38, 40  # the kernel's ciphers; the machine's hypervisor
REFUSED_FAMILIES = frozenset({_AF_ALG, _AF_VSOCK})
_FAMILY_BITS = 6  # all families there are
_ALL_32_BITS = 0xFFFFFFFF  # of arguments that the kernel takes as int it looks at no more

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
# Linux, as 32 bits, with an old version number, both; and the question which it is.
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, _ALL_32_BITS)
_ENOSYS = 38

Rule = dict[str, Any]


@cache
def security_option() -> str:
    """As Docker's `SecurityOpt` takes it."""
    return "seccomp=" + json.dumps(profile(), separators=(",", ":"))


def profile() -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [
            {
                "architecture": "SCMP_ARCH_X86_64",
                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            },
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        "syscalls": [
            _allow(syscalls.EVERYWHERE),
            {**_allow(syscalls.X86), "includes": {"arches": ["amd64", "x32", "x86"]}},
            {**_allow(syscalls.ARM), "includes": {"arches": ["arm", "arm64"]}},
            *(_masked("ioctl", 1, mask, value) for mask, value in allowed_cubes(REFUSED_IOCTLS, _IOCTL_BITS)),
            *(_masked("socket", 0, *cube) for cube in _families()),
            _masked("clone", 0, _NEW_NAMESPACES, 0),
            *(_masked("personality", 0, _ALL_32_BITS, value) for value in _PERSONALITIES),
            # Its flags are in memory, where no filter sees them. C libraries fall back to clone, on this answer only.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        ],
    }


def allowed_cubes(refused: Collection[int], bits: int) -> Iterator[tuple[int, int]]:
    """Masks and values: `number & mask == value` for one of them, and only one, says that a number is not refused."""

    def below(prefix: int, free_bits: int) -> Iterator[tuple[int, int]]:
        inside = sum(1 for number in refused if number >> free_bits == prefix)
        if inside == 0:
            yield ((1 << bits) - 1) >> free_bits << free_bits, prefix << free_bits
        elif inside < 1 << free_bits:
            yield from below(prefix << 1, free_bits - 1)
            yield from below(prefix << 1 | 1, free_bits - 1)

    return below(0, bits)


def _families() -> Iterator[tuple[int, int]]:
    beyond = _ALL_32_BITS >> _FAMILY_BITS << _FAMILY_BITS
    return ((beyond | mask, value) for mask, value in allowed_cubes(REFUSED_FAMILIES, _FAMILY_BITS))


def _allow(names: Sequence[str]) -> Rule:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW"}


def _masked(name: str, argument: int, mask: int, value: int) -> Rule:
    condition = {"index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
    return {**_allow([name]), "args": [condition]}
