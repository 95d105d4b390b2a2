"""The toolkits of this machine: built aside, proven, then `current` at one moment; old ones go when nobody uses them.

toolkit/<name>/            built and whole; the name is a digest of what it was made of
toolkit/current            a link to the one that starts use
toolkit/.build-…           under way, or broken off: removed by the next build
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gpulease_host.files import sync_folder
from gpulease_host.toolkit import layout, manifest, packages, running
from gpulease_host.toolkit.building import build
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.origins import name_if_fresh

STARTING_S = 600.0
NAME = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class ToolkitStore:
    folder: Path
    build: Callable[[Path], None] = build
    name_if_fresh: Callable[[Path], str | None] = name_if_fresh
    """Of a built toolkit. None when it is of packages as they were. Raises ToolkitError."""
    prove: Callable[[Path], int] = field(default_factory=lambda: prove)
    """Answers the number of files. Raises ToolkitError."""
    mounted: Callable[[], str] = field(default_factory=lambda: mounted)
    """All that is mounted anywhere on this machine, as text that names the toolkits among it."""
    state: Callable[[], str] = packages.state
    """Another whenever a build may go otherwise than the last one. Raises ToolkitError."""

    def current(self) -> Path | None:
        """The toolkit that starts use now, by its own name."""
        link = self.folder / "current"
        return link.resolve() if link.is_symlink() and link.exists() else None

    def is_fresh(self) -> bool:
        """Whether it is of the packages that are installed now. Raises ToolkitError."""
        current = self.current()
        return current is not None and self.name_if_fresh(current) == current.name

    def ensure(self) -> Path:
        """Build unless there is one of the packages as they are now; one build at a time. Raises ToolkitError."""
        with self._locked():
            if not self.is_fresh():
                self._make_current(self._fresh() or self._build())
            return (self.folder / "current").resolve()

    def verify(self) -> int:
        """Hold the current one to its manifest and try its programs. Raises ToolkitError."""
        current = self.current()
        if current is None:
            raise ToolkitError("No toolkit is built here yet. Run: gpulease-host toolkit build")
        return self.prove(current)

    def remove_unused(self, now: float) -> list[str]:
        """Every one but the current and those that a container runs on. Answers what was removed.

        Not soon after a new one became current: a container that starts meanwhile may have seen the old one.
        """
        current = self.current()
        if current is None or now - (self.folder / "current").lstat().st_mtime < STARTING_S:
            return []
        with self._locked():
            mounted = self.mounted()
            gone = [each for each in self._built() if each.name not in mounted and each.name != current.name]
            for each in gone:
                aside = self.folder / f".build-old-{each.name}"
                each.rename(aside)
                _remove(aside)
            return [each.name for each in gone]

    def _built(self) -> list[Path]:
        return sorted(each for each in self.folder.iterdir() if NAME.fullmatch(each.name))

    def _fresh(self) -> str | None:
        """One of before, as when an update was taken back."""
        return next((each.name for each in self._built() if self.name_if_fresh(each) == each.name), None)

    def _build(self) -> str:
        for left in self.folder.glob(".build-*"):
            _remove(left)
        aside = self.folder / ".build-new"
        aside.mkdir()
        try:
            self.build(aside)
            name = self.name_if_fresh(aside)
            if name is None:
                raise ToolkitError("Packages were updated while the toolkit was built. It is built again.")
            self.prove(aside)
            _sync(self.folder)
            aside.rename(self.folder / name)
        except (OSError, ValueError) as error:
            raise ToolkitError(f"The toolkit could not be written: {error}") from error
        finally:
            _remove(aside)
        return name

    def _make_current(self, name: str) -> None:
        beside = self.folder / "current.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(name)
        beside.replace(self.folder / "current")
        sync_folder(self.folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def mounted(processes: Path = Path("/proc")) -> str:
    """As each process sees it: containers have mounts of their own. Whoever started them, another host perhaps."""
    texts = set()
    for process in processes.iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                texts.add((process / "mountinfo").read_text(errors="replace"))
    return "\n".join(texts)


def prove(root: Path) -> int:
    """Hold it to its manifest, and try its programs where they will run."""
    files = manifest.verify(root)
    _try_programs(root)
    return files


def _try_programs(root: Path) -> None:
    """Run it where it will run: at its mount point, in a mount namespace and root of its own.

    The new root has nothing but the toolkit, so a library that is missing shows here and not at a tenant's.
    """
    script = (
        f'set -e; cd "$1"; mount -t tmpfs none "$2"; mkdir "$2{layout.TOOLKIT}" "$2/dev" "$2/root"; '
        f'mount --bind "$1" "$2{layout.TOOLKIT}"; mount --bind /dev "$2/dev"; exec chroot "$2" '
        f"{layout.BUSYBOX} sh {layout.TOOLKIT}/inside/self_test.sh"
    )
    stage = root.parent / ".build-stage"
    stage.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(root), str(stage)]
    try:
        done = running.run(command, environment={"PATH": packages.SEARCH_PATH})
    finally:
        stage.rmdir()
    if done.returncode != 0:
        raise ToolkitError(f"The toolkit's programs do not run: {(done.stderr or done.stdout).strip()[-500:]}")


def _sync(folder: Path) -> None:
    """All of the file system at once: a toolkit has some ten thousand files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.sync()
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
