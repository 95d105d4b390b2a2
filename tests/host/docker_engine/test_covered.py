"""When Docker is said to run on other data than what lies in its data root now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine.data_root import DockerDataRoot
from gpulease_host.docker_engine.docker_api import TIMEOUT_S, DockerApi


class SmallDocker(DockerApi):
    """Says how many containers it has, and which are ours."""

    def __init__(self, root: Path, docker_id: str = "docker-1") -> None:
        self.root, self.docker_id = root, docker_id
        self.listed: list[str] = []
        self.others = 0
        self.timeouts: list[float] = []
        (root / "containers").mkdir()

    def info(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        self.timeouts.append(timeout_s)
        return {"ID": self.docker_id, "DockerRootDir": str(self.root), "Containers": len(self.listed) + self.others}

    def list_containers(
        self, label: str, *, all_states: bool = True, timeout_s: float = TIMEOUT_S
    ) -> list[dict[str, Any]]:
        self.timeouts.append(timeout_s)
        return [{"Id": each} for each in self.listed]

    def lay(self, name: str, *, whole: bool = True) -> Path:
        folder = self.root / "containers" / name
        folder.mkdir()
        if whole:
            (folder / "config.v2.json").touch()
        return folder


@pytest.fixture
def docker(tmp_path: Path) -> SmallDocker:
    return SmallDocker(tmp_path)


def root_of(docker: SmallDocker, meanwhile: Callable[[], object] = lambda: None) -> DockerDataRoot:
    def sleep(_seconds: float) -> None:
        meanwhile()

    return DockerDataRoot(docker, 7, sleep)


def test_another_engine_id_covers(docker: SmallDocker, tmp_path: Path) -> None:
    (tmp_path / "engine-id").write_text("docker-2")
    sight = root_of(docker).see()
    assert (sight.is_covered, sight.leftovers) == (True, ())


def test_containers_that_lie_elsewhere_cover(docker: SmallDocker) -> None:
    docker.listed.append("abc")
    assert root_of(docker).see().is_covered


def test_a_container_that_is_being_removed_covers_nothing(docker: SmallDocker) -> None:
    docker.listed.append("abc")
    assert not root_of(docker, docker.listed.clear).see().is_covered
    folder = docker.lay("def")
    assert not root_of(docker, (folder / "config.v2.json").unlink).see().is_covered


def test_a_first_container_that_is_just_made_covers_nothing(docker: SmallDocker) -> None:
    docker.lay("abc")
    assert not root_of(docker, lambda: docker.listed.append("abc")).see().is_covered


def test_a_folder_without_a_container_covers_nothing(docker: SmallDocker) -> None:
    docker.lay("abc", whole=False)
    assert not root_of(docker).see().is_covered


def test_what_docker_could_not_load_is_said_to_be_left_over(docker: SmallDocker) -> None:
    docker.lay("abc")
    sight = root_of(docker).see()
    assert (sight.is_covered, sight.leftovers) == (True, ("abc",))
    docker.others = 1
    assert not root_of(docker).see().is_covered


def test_a_newer_docker_tells_leftovers_by_its_id(docker: SmallDocker, tmp_path: Path) -> None:
    (tmp_path / "engine-id").write_text("docker-1")
    docker.lay("abc")
    assert not root_of(docker).see().is_covered


def test_nobody_waits_long_for_a_look(docker: SmallDocker) -> None:
    root_of(docker).see()
    assert max(docker.timeouts) <= 10
