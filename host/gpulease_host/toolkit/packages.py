"""What of this machine the toolkit is made of, and the fingerprint that changes when any of it does."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gpulease_host.toolkit.errors import ToolkitError

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
# Debian package to the program that proves it is there, looked for where root's PATH would find it.
PROGRAMS = {
    "openssh-server": "sshd",
    "openssh-client": "ssh",
    "busybox-static": "busybox",
    "patchelf": "patchelf",
}
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VERSIONED = (*PROGRAMS, "libc6", "libssl3", "libssl3t64", "libstdc++6")
HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
INSIDE = HERE / "inside"
OWN_PARTS = ("requirements.txt", "layout.py", "building.py", "elf.py", "python_copy.py")
"""What of this program a build depends on, beside what it puts inside."""


def program(name: str) -> Path:
    """Raises ToolkitError with the line that installs it."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        package = next(package for package, each in PROGRAMS.items() if each == name)
        raise ToolkitError(f"{name} is missing here. As root, run: apt-get install -y {package}")
    return Path(found).resolve()


def missing(search_path: str = SEARCH_PATH) -> list[str]:
    found = {package: shutil.which(name, path=search_path) for package, name in PROGRAMS.items()}
    return [package for package, path in found.items() if path is None or not _will_do(package, Path(path))]


def _will_do(package: str, path: Path) -> bool:
    """Debian's other busybox needs libraries, and stands in the same place. A program names its loader early on."""
    return package != "busybox-static" or b"/ld-linux" not in path.read_bytes()[:4096]


def check(search_path: str = SEARCH_PATH) -> None:
    """Raises ToolkitError with one line that installs all that is missing."""
    absent = missing(search_path)
    if absent:
        line = f"apt-get install -y --no-install-recommends {' '.join(absent)}"
        raise ToolkitError(f"Packages for modes ssh and jupyter are missing. As root, run: {line}")


def fingerprint() -> str:
    """Another after each update of the packages, of Python, or of this program."""
    digest = hashlib.sha256()
    for line in _ingredients():
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:16]


def _ingredients() -> Iterator[str]:
    yield sys.version
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *VERSIONED]
    try:
        yield subprocess.run(query, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        raise ToolkitError("dpkg-query is missing: the toolkit is built from packages of Debian or Ubuntu.") from None
    for path in sorted([*INSIDE.iterdir(), *(HERE / name for name in OWN_PARTS)]):
        if path.is_file():
            yield f"{path.relative_to(HERE)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
