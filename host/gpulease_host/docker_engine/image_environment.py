"""What becomes of the variables that an image brings. NVIDIA's hook gets them as well, and runs as root on the host.

    NVIDIA_VISIBLE_DEVICES                        the contract's GPUs instead
    NVIDIA_DRIVER_CAPABILITIES, NVIDIA_REQUIRE_…  kept: what the image needs of the driver
    NVIDIA_…_VERSION and the like                 kept: they only tell
    any other NVIDIA_…, DOCKER_RESOURCE_…         removed: they choose devices
    LD_PRELOAD, LD_LIBRARY_PATH                   kept where all that they name is in a folder of the system's
    any other LD_…, and what else libc obeys      removed
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
"""Folders of a host in which nothing of a tenant's lies."""
TELLS = re.compile(r"NVIDIA_(?:DRIVER_CAPABILITIES|DISABLE_REQUIRE|REQUIRE_\w+|PRODUCT_NAME|BUILD_\w+|\w+_VERSION)")
OBEYED = ("NVIDIA_", "DOCKER_RESOURCE_", "LD_", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCPATH",
          "MALLOC_TRACE", "NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS")  # fmt: skip


def removed(of_image: Iterable[str]) -> list[str]:
    """The names of what the container does not get; Docker takes a name without a value for that."""
    pairs = (each.partition("=") for each in of_image)
    return sorted({name for name, _, value in pairs if not _is_kept(name, value)})


def _is_kept(name: str, value: str) -> bool:
    if name in SEARCHED:
        return all(map(_is_the_systems, re.split("[: ]", value)))
    return TELLS.fullmatch(name) is not None or not name.upper().startswith(OBEYED)


def _is_the_systems(path: str) -> bool:
    """Also no path at all, which would be the working directory, is none; nor is one with a word of the loader's."""
    parts = PurePosixPath(path).parts
    return path.startswith(tuple(f"{each}/" for each in SYSTEM)) and ".." not in parts and "$" not in path
