"""A daemon without threads, as the tests on fakes have it, on a real Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from gpulease_host.docker_engine import DockerEngine
from gpulease_host.journal import Journal
from gpulease_host.world import read_run_id
from tests.host.fakes import FakeEngine
from tests.host.orders import HOST_ID
from tests.host.rig import Rig


class RealRig(Rig):
    real_engine: DockerEngine
    docker_host: str

    @classmethod
    def on(cls, engine: DockerEngine, docker_host: str, folder: Path, **parts: Any) -> RealRig:
        if not (folder / "journal").exists():
            Journal.create(folder / "journal", HOST_ID)
        rig = cls(folder, **parts)
        rig.real_engine, rig.docker_host, rig.engine = engine, docker_host, cast(FakeEngine, engine)
        rig.boot()
        return rig

    def read_inventory(self) -> dict[str, Any]:
        return self.real_engine.inventory()

    def look(self) -> None:
        """As its threads do within some seconds."""
        self.run_id = read_run_id(Path(self.docker_host.removeprefix("unix://")))
        self.pass_time(11)
        self.daemon.asker.ask()
        self.pass_time(2)
