"""A toolkit is fresh while every file that it was made of is as it was."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gpulease_host.toolkit import elf, packages, python_copy
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.origins import ORIGINS, Origins, name_if_fresh
from gpulease_host.toolkit.store import ToolkitStore

THEN = "0" * 16


def name_now(root: Path, fingerprint: str = THEN) -> str | None:
    return name_if_fresh(root, lambda: fingerprint)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One of this machine, where a test may change it."""
    path = tmp_path / "libz.so.1"
    shutil.copyfile(elf.needed_files(packages.program("sshd"))["libz.so.1"], path)
    return path


@pytest.fixture
def root(tmp_path: Path, library: Path) -> Path:
    """A toolkit that consists of that library."""
    root, origins = tmp_path / "root", Origins(THEN)
    (root / "lib").mkdir(parents=True)
    elf.copy_library(library.name, library, root, origins)
    origins.write(root)
    return root


def grow(path: Path) -> None:
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", [grow, touch, Path.unlink])
def test_a_library_that_was_changed_since_makes_it_old(
    root: Path, library: Path, change: Callable[[Path], object]
) -> None:
    assert re.fullmatch("[0-9a-f]{16}", name_now(root) or "")
    change(library)
    assert name_now(root) is None


def test_a_name_that_leads_to_a_newer_library_makes_it_old(tmp_path: Path, library: Path) -> None:
    newer = tmp_path / "libz.so.1.3"
    shutil.copyfile(library, newer)
    link, origins = tmp_path / "link", Origins(THEN)
    link.symlink_to(library)
    origins.copy(link, tmp_path / "ours")
    origins.write(tmp_path)
    assert name_now(tmp_path) is not None
    link.unlink()
    link.symlink_to(newer)
    assert name_now(tmp_path) is None


def test_a_library_that_is_updated_while_it_is_copied_makes_it_old(tmp_path: Path, library: Path) -> None:
    origins = Origins(THEN)
    origins.copy(library, tmp_path / "ours")
    touch(library)
    origins.copy(library, tmp_path / "ours again")
    origins.write(tmp_path)
    assert name_now(tmp_path) is None


def test_another_program_or_python_makes_it_old(root: Path) -> None:
    assert name_now(root, "1" * 16) is None


def test_a_toolkit_that_does_not_say_what_it_was_made_of_is_old(root: Path) -> None:
    for said in ("", "[]", '{"v": 1, "fingerprint": "0000000000000000", "files": {"/etc": 3}}'):
        (root / ORIGINS).write_text(said)
        assert name_now(root) is None
    (root / ORIGINS).unlink()
    assert name_now(root) is None


class Noting(Origins):
    """Knows what it copied to."""

    def __init__(self) -> None:
        super().__init__(THEN)
        self.copied: set[Path] = set()

    def copy(self, original: str | Path, ours: str | Path) -> None:
        self.copied.add(Path(ours))
        super().copy(original, ours)


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def test_every_library_that_ssh_loads_is_noted(tmp_path: Path) -> None:
    origins = Noting()
    elf.copy_libraries([packages.program("sshd"), packages.program("ssh")], tmp_path, origins)
    copied = files_in(tmp_path)
    assert {"libc.so.6", "libcrypto.so.3", "libz.so.1"} <= {path.name for path in copied}
    assert origins.copied == copied


def test_every_file_of_python_is_noted(tmp_path: Path) -> None:
    origins = Noting()
    python_copy.copy_python(tmp_path, origins)
    assert origins.copied == files_in(tmp_path)
    assert len(origins.copied) > 500


def test_the_fingerprint_follows_the_programs_python_and_this_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in packages.PROGRAMS.values():
        (tmp_path / program).write_text("")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setattr(packages, "SEARCH_PATH", str(tmp_path))
    seen = {packages.fingerprint()}
    touch(tmp_path / "sshd")
    seen.add(packages.fingerprint())
    (tmp_path / "busybox").unlink()
    seen.add(packages.fingerprint())
    python = tmp_path / "python3"
    python.touch()
    monkeypatch.setattr(packages, "interpreter", lambda: python)
    seen.add(packages.fingerprint())
    grow(python)
    seen.add(packages.fingerprint())
    monkeypatch.setattr(packages, "OWN_PARTS", packages.OWN_PARTS[1:])
    seen.add(packages.fingerprint())
    assert len(seen) == 6
    assert packages.fingerprint() in seen
    assert all((packages.HERE / name).is_file() for name in packages.OWN_PARTS)


def test_a_package_that_is_updated_during_a_build_refuses_it(tmp_path: Path, library: Path) -> None:
    def build(root: Path) -> None:
        origins = Origins(THEN)
        origins.copy(library, root / "ours")
        origins.write(root)
        touch(library)

    store = ToolkitStore(tmp_path / "toolkit", build, name_now, lambda root: 0)
    with pytest.raises(ToolkitError, match="updated while"):
        store.ensure()
    assert store.current() is None
