"""A store of toolkits that are built in no time, and stand-ins for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpulease_host.toolkit import manifest
from gpulease_host.toolkit.store import ToolkitStore

OLD, NEW = "0" * 16, "1" * 16


class FakeBuilds:
    """Builds in no time; what `before` does happens in the middle of one."""

    def __init__(self) -> None:
        self.fingerprint = NEW
        self.built = 0
        self.before: Callable[[Path], object] = lambda root: None

    def store(self, folder: Path) -> ToolkitStore:
        return ToolkitStore(
            folder, self.build, lambda root: self.fingerprint, manifest.verify, state=lambda: self.fingerprint
        )

    def build(self, root: Path) -> None:
        self.built += 1
        (root / "program").write_text(self.fingerprint)
        self.before(root)
        manifest.write(root)


@pytest.fixture
def builds() -> FakeBuilds:
    return FakeBuilds()


def stand_in(folder: Path, name: str, script: str) -> Path:
    """A program that does as the shell script says."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
