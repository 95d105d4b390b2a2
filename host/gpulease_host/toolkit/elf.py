"""Programs and libraries of this machine, made to run where neither is: with the toolkit's own loader and libraries.

The rpath is written as DT_RPATH, which comes before LD_LIBRARY_PATH and serves the libraries of libraries too: an
image's variables and an image's ld.so.cache have no say in what the toolkit's programs load.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from gpulease_host.toolkit import layout, running
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.origins import Origins
from gpulease_host.toolkit.packages import program

LIBRARIES = f"{layout.TOOLKIT}/lib"
LOADER_NAME = Path(layout.LOADER).name
_LOADED = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x")


def is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def needed_files(binary: Path) -> dict[str, Path]:
    """Every library that it loads, by the name it is asked for; the loader under the name it has everywhere."""
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    done = running.run(["ldd", binary], environment=environment)
    if "not found" in done.stdout:
        line = next(line.strip() for line in done.stdout.splitlines() if "not found" in line)
        raise ToolkitError(f"{binary} lacks a library here: {line}")
    found = {}
    for line in done.stdout.splitlines():
        match = _LOADED.match(line)
        if match:
            path = Path(match.group(2))
            found[match.group(1) or path.name] = path
    return found


def relocate(path: Path, *, first: Iterable[str] = ()) -> None:
    """Give it our libraries and, if it is a program, our loader; its own relative search stays, ahead of ours."""
    own = [each for each in _rpath(path).split(":") if each.startswith("$ORIGIN")]
    if _has_interpreter(path):
        _patchelf("--set-interpreter", layout.LOADER, str(path))
    _patchelf("--force-rpath", "--set-rpath", ":".join([*first, *own, LIBRARIES]), str(path))


def copy_libraries(binaries: Iterable[Path], root: Path, origins: Origins, own: Path | None = None) -> None:
    """Into `lib`, whatever the binaries load that is not within `own`; with the loader, which loads nothing itself."""
    folder = root / "lib"
    folder.mkdir(exist_ok=True)
    loader: Path | None = None
    for binary in binaries:
        for name, path in needed_files(binary).items():
            if own is not None and path.is_relative_to(own):
                continue
            if name == path.name and name.startswith("ld-"):
                loader = path
            else:
                copy_library(name, path, root, origins)
    if loader is None:
        raise ToolkitError("No loader was found for the toolkit's programs.")
    _copy_loader(loader, folder, origins)


def copy_library(name: str, path: Path, root: Path, origins: Origins) -> None:
    ours = root / "lib" / name
    if not ours.exists():
        origins.copy(path, ours)
        relocate(ours)


def has_text(path: Path, text: str) -> bool:
    return text.encode() + b"\0" in path.read_bytes()


def replace_text(path: Path, old: str, new: str) -> None:
    """Change a constant text of a library in place. Raises ToolkitError when it is not there."""
    before, after = old.encode() + b"\0", new.encode() + b"\0"
    content = path.read_bytes()
    if len(before) != len(after) or before not in content:
        raise ToolkitError(f"{path.name} does not say {old}: this release of Debian or Ubuntu is not known here.")
    path.write_bytes(content.replace(before, after))


def _copy_loader(loader: Path, folder: Path, origins: Origins) -> None:
    """An image's ld.so.preload and ld.so.cache are not for us. Some libraries ask for the loader by its own name."""
    ours = folder / LOADER_NAME
    origins.copy(loader, ours)
    replace_text(ours, "/etc/ld.so.preload", f"{layout.TOOLKIT}/ld.so.preload")
    replace_text(ours, "/etc/ld.so.cache", f"{layout.TOOLKIT}/ld.so.cache")
    ours.chmod(0o755)
    if loader.name != LOADER_NAME and not (folder / loader.name).exists():
        (folder / loader.name).symlink_to(LOADER_NAME)


def _has_interpreter(path: Path) -> bool:
    return running.run([program("patchelf"), "--print-interpreter", path]).returncode == 0


def _rpath(path: Path) -> str:
    return _patchelf("--print-rpath", str(path))


def _patchelf(*arguments: str) -> str:
    done = running.run([program("patchelf"), *arguments])
    if done.returncode != 0:
        raise ToolkitError(f"patchelf {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.strip()
