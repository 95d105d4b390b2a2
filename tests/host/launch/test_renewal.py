"""A new toolkit takes the place of an old one under running containers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpulease_host.toolkit import manifest
from gpulease_host.toolkit.store import STARTING_S, ToolkitStore
from local.images import BUSYBOX
from tests.host.docker_engine.bench import Bench, run_program
from tests.host.docker_engine.conftest import bench_on
from tests.host.launch.conftest import OpenPlace, wait_for_toolkit

pytestmark = [pytest.mark.docker, pytest.mark.slow]
OLD, NEW = "a" * 16, "b" * 16


@dataclass
class Packages:
    """Those of a machine that is updated; a build is a copy of what was really built."""

    built: Path
    fingerprint: str = OLD

    def store(self, folder: Path) -> ToolkitStore:
        return ToolkitStore(folder, self.build, lambda root: self.fingerprint, manifest.verify)

    def build(self, root: Path) -> None:
        run_program("cp", "-a", "--link", f"{self.built}/.", str(root))
        root.joinpath("version").write_text(self.fingerprint)
        root.joinpath(manifest.MANIFEST).unlink()
        manifest.write(root)


@pytest.fixture
def packages(toolkit: Path) -> Packages:
    return Packages(toolkit)


@pytest.fixture
def store(packages: Packages, toolkit: Path) -> Iterator[ToolkitStore]:
    folder = toolkit.parent.with_name(f"toolkit-test-{time.time_ns()}")
    yield packages.store(folder)
    run_program("rm", "-rf", str(folder))


@pytest.fixture
def bench(docker_host: str, tmp_path: Path, store: ToolkitStore) -> Iterator[Bench]:
    with bench_on(docker_host, tmp_path, store) as bench:
        wait_for_toolkit(bench)
        yield bench


def test_a_running_container_keeps_its_toolkit_and_its_next_start_takes_the_new_one(
    open_place: OpenPlace, store: ToolkitStore, packages: Packages
) -> None:
    place = open_place(BUSYBOX)
    packages.fingerprint = NEW
    store.ensure()
    later = time.time() + 2 * STARTING_S
    assert store.remove_unused(later) == []
    assert place.visitor.said("cat /.gl/version") == OLD
    place.stop()
    place.start()
    assert place.visitor.said("cat /.gl/version") == NEW
    assert store.remove_unused(later) == [OLD]
    assert place.visitor.said("cat /.gl/version") == NEW
