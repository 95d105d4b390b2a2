"""What becomes of the variables that an image brings. NVIDIA's hook gets them as well, and runs as root on the host.

    NVIDIA_VISIBLE_DEVICES                        the contract's GPUs instead
    NVIDIA_DRIVER_CAPABILITIES, NVIDIA_REQUIRE_…  kept: what the image needs of the driver
    NVIDIA_…_VERSION and the like                 kept: they only tell
    any other NVIDIA_…, DOCKER_RESOURCE_…         removed: they choose devices
    LD_PRELOAD, LD_LIBRARY_PATH                   what they name in folders of the system's is kept
    any other LD_…, and what else libc obeys      removed, but for TMPDIR, TZDIR and LOCALDOMAIN
    everything else                               kept

The hook has begun programs of the host with LD_PRELOAD=/proc/self/cwd/… of an image, which is the container's own file
(CVE-2025-23266). What glibc obeys is in its list of variables that it takes from no privileged program
(sysdeps/generic/unsecvars.h).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

SEARCHED = ("LD_PRELOAD", "LD_LIBRARY_PATH")
SYSTEM = ("/lib", "/lib32", "/lib64", "/opt", "/usr")
"""Folders of a host in which nothing of a tenant's lies, unless Docker's data is there."""
SEPARATORS = re.compile("[:; ]")
"""Those of glibc's loader."""
TELLS = re.compile(r"NVIDIA_(?:DRIVER_CAPABILITIES|DISABLE_REQUIRE|REQUIRE_\w+|PRODUCT_NAME|BUILD_\w+|\w+_VERSION)")
OBEYED = ("DOCKER_RESOURCE_", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCPATH", "MALLOC_TRACE",
          "NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS")  # fmt: skip
PREFIXES = ("NVIDIA_", "LD_")
"""However they are written."""


def is_obeyed(name: str) -> bool:
    """A client is refused these too (`RESERVED` of the service's API)."""
    return name.upper().startswith(PREFIXES) or name.startswith(OBEYED)


def corrections(of_image: Iterable[str], docker_root: str) -> dict[str, str | None]:
    """What the container gets in place of what the image says: another value, or None for nothing at all."""
    found: dict[str, str | None] = {}
    for name, _, value in (each.partition("=") for each in of_image):
        if name in SEARCHED:
            items = SEPARATORS.split(value)
            kept = [each for each in items if _is_the_systems(each, docker_root)]
            if kept != items or name in found:  # one that it says twice goes: either may count
                found[name] = ":".join(kept) if kept and name not in found else None
        elif is_obeyed(name) and not TELLS.fullmatch(name):
            found[name] = None
    return found


def _is_the_systems(path: str, docker_root: str) -> bool:
    """No path at all, which would be the working directory, is none; nor is one with a word of the loader's."""
    folders = [str(each) for each in (PurePosixPath(path), *PurePosixPath(path).parents)]
    is_there = f"{path}/".startswith(tuple(f"{each}/" for each in SYSTEM)) and docker_root not in folders
    return is_there and ".." not in folders[0].split("/") and "$" not in path
