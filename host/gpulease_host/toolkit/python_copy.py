"""A copy of the Python that runs this program, with JupyterLab: found by its own place, so it runs anywhere."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from gpulease_host.toolkit import elf, running
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.origins import Origins
from gpulease_host.toolkit.packages import REQUIREMENTS, interpreter

# Of the standard library and of what pip brings, what no notebook misses.
LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages")
LEFT_OUT_FILES = ("config-*", "*.a", "__pycache__", "dist-packages", "_tkinter*")
PIP_TIMEOUT_S = 1800


def copy_python(root: Path, origins: Origins) -> Path:
    """Make `python/` of the toolkit and answer its site-packages folder."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = root / "python" / "lib" / version
    (root / "python" / "bin").mkdir(parents=True)
    origins.copy(interpreter(), root / "python" / "bin" / "python3")
    (root / "python" / "bin" / "python3").chmod(0o755)
    ignored = shutil.ignore_patterns(*LEFT_OUT, *LEFT_OUT_FILES)
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=ignored, symlinks=False, copy_function=origins.copy)
    packages = library / "site-packages"
    packages.mkdir()
    (library / "dist-packages").symlink_to("site-packages")  # where Debian's Python looks
    return packages


def install_jupyter(packages: Path) -> None:
    """Raises ToolkitError with pip's last line, as where this machine reaches no package index."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-compile", "--no-deps", "--only-binary", ":all:", "--target", str(packages)]
    command += ["--requirement", str(REQUIREMENTS)]
    done = running.run(command, timeout_s=PIP_TIMEOUT_S)
    if done.returncode != 0:
        raise ToolkitError(f"pip could not bring JupyterLab: {running.last_line(done)}")
    # JupyterLab's pages are looked for under the prefix; pip --target puts them beside the packages.
    for name in ("share", "etc"):
        if (packages / name).exists():
            shutil.move(packages / name, packages.parents[2] / name)
    _slim(packages)


def binaries(root: Path) -> Iterator[Path]:
    """Every program and library below the toolkit's Python."""
    for folder, _, names in os.walk(root / "python"):
        yield from (path for name in names if elf.is_elf(path := Path(folder) / name))


def compile_all(packages: Path) -> None:
    """By content, so that it stays valid whatever the files' times are, and needs no writing in containers."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    # Templates of packages are no Python, and are reported and left.
    running.run([*command, packages.parent])


def _slim(packages: Path) -> None:
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for folder in [path for path in packages.rglob("tests") if path.is_dir()]:
        shutil.rmtree(folder)
    for path in (packages.parents[2] / "share" / "jupyter").rglob("*.map"):
        path.unlink()
