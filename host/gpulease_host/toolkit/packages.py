"""What of this machine the toolkit is made of, and the fingerprint that changes when any of it does."""

from __future__ import annotations

import hashlib
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from gpulease_host.toolkit.errors import ToolkitError

# Debian package to the program that proves it is there, looked for where root's PATH would find it.
PROGRAMS = {
    "openssh-server": "sshd",
    "openssh-client": "ssh",
    "busybox-static": "busybox",
    "patchelf": "patchelf",
}
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DPKG_STATUS = Path("/var/lib/dpkg/status")
HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
INSIDE = HERE / "inside"
OWN_PARTS = ("requirements.txt", "layout.py", "building.py", "openssh.py", "elf.py", "python_copy.py")
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


def interpreter() -> Path:
    """Python's program, of which a virtual environment was made. Raises ToolkitError."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = Path(sysconfig.get_config_var("BINDIR") or Path(sys.base_prefix) / "bin") / name
    if not found.is_file():
        raise ToolkitError(f"Python's program is not at {found}.")
    return found.resolve()


def fingerprint() -> str:
    """Another after each update of this program, of Python or of a program that is copied. Raises ToolkitError.

    Libraries are not in it: a build notes those that it copies.
    """
    return _digest(_ingredients())


def state() -> str:
    """Another when a build may go otherwise than the last one: after any change of any package, too."""
    return _digest([*_ingredients(), _seen(DPKG_STATUS)])


def _ingredients() -> Iterator[str]:
    for path in sorted([*INSIDE.iterdir(), *(HERE / name for name in OWN_PARTS)]):
        if path.is_file():
            yield f"{path.relative_to(HERE)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    yield _seen(interpreter())
    for name in PROGRAMS.values():
        found = shutil.which(name, path=SEARCH_PATH)
        yield f"{name} is missing" if found is None else _seen(Path(found).resolve())


def _seen(path: Path) -> str:
    if not path.exists():
        return f"{path} is missing"
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:16]
