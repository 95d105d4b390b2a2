"""Docker's live-restore: the owner's file is proved, kept aside, changed, and put back; never left broken."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.engine import EngineUnavailableError
from gpulease_host.machine_setup.dockerd import Dockerd
from gpulease_host.machine_setup.errors import MachineSetupError
from gpulease_host.machine_setup.live_restore import ASIDE, NOTE, LiveRestore


@dataclass
class FakeDocker:
    """One that reads its settings when it is told to; `takes` says whether it obeys."""

    path: Path
    takes: bool = True
    on: bool = False
    swarm: str = "inactive"
    arguments: Sequence[str] = ()
    complain: Callable[[str], str | None] = lambda _text: None
    reloads: list[str] = field(default_factory=list)

    def info(self) -> Mapping[str, Any]:
        return {"LiveRestoreEnabled": self.on, "Swarm": {"LocalNodeState": self.swarm}}

    def find(self) -> Dockerd:
        return _FakeDockerd(1, [*self.arguments, "--config-file", str(self.path)], "dockerd", self)

    def reload(self) -> None:
        self.reloads.append(self.path.read_text() if self.path.exists() else "")
        self.on = self.takes and bool(json.loads(self.reloads[-1] or "{}").get("live-restore"))


@dataclass(frozen=True)
class _FakeDockerd(Dockerd):
    fake: FakeDocker

    def complaint_about(self, settings: Path) -> str | None:
        return self.fake.complain(settings.read_text())

    def reload(self) -> None:
        self.fake.reload()


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    return FakeDocker(tmp_path / "docker" / "daemon.json")


@pytest.fixture
def live_restore(docker: FakeDocker, tmp_path: Path) -> LiveRestore:
    return LiveRestore(docker.info, docker.find, tmp_path / "state", sleep=lambda _s: None)


def owners_file(docker: FakeDocker, text: str = '{"data-root": "/data"}') -> None:
    docker.path.parent.mkdir()
    docker.path.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def test_a_docker_that_has_it_is_left_alone(docker: FakeDocker, live_restore: LiveRestore, tmp_path: Path) -> None:
    docker.on = True
    live_restore.turn_on()
    live_restore.turn_off()
    assert (docker.reloads, names(tmp_path)) == ([], [])


def test_without_a_file_one_is_made_and_taken_away_again(docker: FakeDocker, live_restore: LiveRestore) -> None:
    live_restore.turn_on()
    assert json.loads(docker.path.read_text()) == {"live-restore": True}
    assert docker.on
    live_restore.turn_off()
    assert not docker.path.parent.exists()


def test_the_owners_settings_stay_and_come_back_byte_for_byte(docker: FakeDocker, live_restore: LiveRestore) -> None:
    owners_file(docker, '{  "data-root":"/data" }')
    docker.path.chmod(0o640)
    os.chown(docker.path, 0, 12)
    live_restore.turn_on()
    assert json.loads(docker.path.read_text()) == {"data-root": "/data", "live-restore": True}
    assert (docker.path.stat().st_mode & 0o7777, docker.path.stat().st_gid) == (0o640, 12)
    assert names(docker.path.parent) == ["daemon.json", ASIDE]
    live_restore.turn_off()
    assert docker.path.read_text() == '{  "data-root":"/data" }'
    assert (docker.path.stat().st_mode & 0o7777, docker.path.stat().st_gid) == (0o640, 12)
    assert names(docker.path.parent) == ["daemon.json"]


def test_a_link_stays_one(docker: FakeDocker, live_restore: LiveRestore, tmp_path: Path) -> None:
    docker.path.parent.mkdir()
    (tmp_path / "real.json").write_text("{}")
    docker.path.symlink_to(tmp_path / "real.json")
    live_restore.turn_on()
    assert docker.path.is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == {"live-restore": True}
    live_restore.turn_off()
    assert docker.path.is_symlink()
    assert (tmp_path / "real.json").read_text() == "{}"


@pytest.mark.parametrize("text", ["{broken", "[]", '"text"'])
def test_a_file_that_is_no_object_is_left_alone(docker: FakeDocker, live_restore: LiveRestore, text: str) -> None:
    owners_file(docker, text)
    with pytest.raises(MachineSetupError, match="is no JSON"):
        live_restore.turn_on()
    assert (docker.path.read_text(), names(docker.path.parent), docker.reloads) == (text, ["daemon.json"], [])


@pytest.mark.parametrize("change", [False, True], ids=["as it is", "with the change"])
def test_what_docker_would_not_start_with_is_never_put_in_force(
    docker: FakeDocker, live_restore: LiveRestore, change: bool, tmp_path: Path
) -> None:
    owners_file(docker)
    docker.complain = lambda text: "directives are specified both" if ("live-restore" in text) is change else None
    with pytest.raises(MachineSetupError, match="directives are specified both"):
        live_restore.turn_on()
    assert docker.path.read_text() == '{"data-root": "/data"}'
    assert (names(docker.path.parent), docker.reloads) == (["daemon.json"], [])
    assert not (tmp_path / "state" / NOTE).exists()


def test_a_swarm_is_refused(docker: FakeDocker, live_restore: LiveRestore) -> None:
    docker.swarm = "active"
    with pytest.raises(MachineSetupError, match="part of a swarm"):
        live_restore.turn_on()
    assert not docker.path.exists()


def test_a_flag_of_its_command_line_is_refused(docker: FakeDocker, live_restore: LiveRestore) -> None:
    docker.arguments = ["--live-restore=false"]
    with pytest.raises(MachineSetupError, match="--live-restore=false"):
        live_restore.turn_on()
    assert not docker.path.exists()


def test_what_docker_does_not_take_is_put_back(docker: FakeDocker, live_restore: LiveRestore) -> None:
    owners_file(docker)
    docker.takes = False
    with pytest.raises(MachineSetupError, match="its settings were put back"):
        live_restore.turn_on()
    assert docker.path.read_text() == docker.reloads[-1] == '{"data-root": "/data"}'
    assert names(docker.path.parent) == ["daemon.json"]


def test_a_file_that_says_so_already_is_only_read_again(docker: FakeDocker, live_restore: LiveRestore) -> None:
    owners_file(docker, '{"live-restore":true}')
    live_restore.turn_on()
    live_restore.turn_off()
    assert (docker.path.read_text(), len(docker.reloads)) == ('{"live-restore":true}', 1)


def test_a_file_that_was_changed_since_stays(docker: FakeDocker, live_restore: LiveRestore) -> None:
    owners_file(docker)
    live_restore.turn_on()
    docker.path.write_text('{"live-restore": true, "debug": true}')
    assert "was changed since" in live_restore.turn_off()
    assert docker.path.read_text() == '{"live-restore": true, "debug": true}'


def test_a_docker_that_is_away_for_a_moment_is_waited_for(docker: FakeDocker, tmp_path: Path) -> None:
    away = iter([False, True, True, False])

    def info() -> Mapping[str, Any]:
        if next(away, False):
            raise EngineUnavailableError("away")
        return docker.info()

    LiveRestore(info, docker.find, tmp_path / "state", sleep=lambda _s: None).turn_on()
    assert docker.on
