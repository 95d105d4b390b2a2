"""Leaving: refused while instances are here, otherwise all of this host goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpulease_host.engine import Container, StuckError
from gpulease_host.journal import Journal
from gpulease_host.ledger import Ledger
from gpulease_host.machine_setup.errors import MachineSetupError
from gpulease_host.machine_setup.leave import Leaving
from gpulease_host.settings import HostConfig, Settings, SettingsError, lock_folder
from tests.host.orders import HOST_ID, order

CONTAINER = Container(
    contract_id=5, instance_id=6, generation=1, token=1, status="exited", exit_code=0, oom_killed=False,
    started_at=None, run=None, error=None, gpus=(), address=None,
)  # fmt: skip


@dataclass
class FakeLeftovers:
    here: list[Container] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    stuck: int = 0

    def containers(self) -> list[Container]:
        return list(self.here)

    def stop(self, instance_id: int, grace_s: int = 10) -> None:
        self.done.append(f"stop {instance_id}")

    def remove(self, contract_id: int, instance_id: int) -> None:
        if instance_id == self.stuck:
            raise StuckError("Docker hangs on it.")
        self.done.append(f"remove {contract_id} {instance_id}")

    def remove_networks(self) -> None:
        self.done.append("networks")

    def remove_images(self) -> int:
        self.done.append("images")
        return 0

    def remove_shared(self) -> bool:
        self.done.append("shared")
        return True

    def remove_mark(self) -> None:
        self.done.append("mark")


@pytest.fixture
def leftovers() -> FakeLeftovers:
    return FakeLeftovers()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(tmp_path, 60, 10, tmp_path / "credentials")
    HostConfig("https://api", HOST_ID, "key", "bus", "region", 0).save(settings.config_path)
    Journal.create(settings.journal_path, HOST_ID)
    return settings


Leave = Callable[[bool], list[str]]


@pytest.fixture
def leave(settings: Settings, leftovers: FakeLeftovers) -> Leave:
    leaving = Leaving(settings, lambda host_id: leftovers if host_id == HOST_ID else FakeLeftovers())
    return lambda lose_data: list(leaving.leave(lose_data=lose_data))


def test_a_host_without_instances_goes(leave: Leave, leftovers: FakeLeftovers) -> None:
    leave(False)
    assert leftovers.done == ["networks", "images", "shared", "mark"]


def test_a_container_that_is_only_stopped_holds_data_and_is_named(leave: Leave, leftovers: FakeLeftovers) -> None:
    leftovers.here.append(CONTAINER)
    with pytest.raises(MachineSetupError, match="instance 6 of contract 5: exited"):
        leave(False)
    assert leftovers.done == []


def test_an_instance_without_a_container_counts_too(settings: Settings, leave: Leave, leftovers: FakeLeftovers) -> None:
    ledger = Ledger.open(settings.journal_path, HOST_ID, lambda: 0.0)
    ledger.admit([order()], None, "run")
    ledger.close()
    with pytest.raises(MachineSetupError, match=f"instance {order().instance_id} of contract"):
        leave(False)
    assert leftovers.done == []


def test_data_goes_when_it_may_be_lost(leave: Leave, leftovers: FakeLeftovers) -> None:
    leftovers.here.append(CONTAINER)
    leave(True)
    assert leftovers.done == ["stop 6", "remove 5 6", "networks", "images", "shared", "mark"]


def test_one_that_cannot_be_removed_keeps_no_other(leave: Leave, leftovers: FakeLeftovers) -> None:
    leftovers.here += [CONTAINER, replace(CONTAINER, instance_id=7)]
    leftovers.stuck = 6
    with pytest.raises(StuckError):
        leave(True)
    assert leftovers.done == ["stop 6", "stop 7", "remove 5 7"]
    leftovers.stuck = 0
    leave(True)
    assert leftovers.done[-1] == "mark"


def test_nothing_goes_under_a_daemon_that_runs(settings: Settings, leave: Leave, leftovers: FakeLeftovers) -> None:
    with lock_folder(settings.pid_path), pytest.raises(SettingsError, match="Another daemon runs"):
        leave(True)
    assert leftovers.done == []


def test_a_machine_that_is_no_host_has_nothing(settings: Settings, leave: Leave, leftovers: FakeLeftovers) -> None:
    settings.config_path.unlink()
    assert leave(False) == ["this machine is registered as no host"]
    assert leftovers.done == []
