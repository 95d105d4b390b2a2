"""A Docker Engine of a test file's own, which it may kill and stop."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from local.dockerd_files import Dockerd, living_pid
from tests.host.docker_engine.bench import Bench, start_private, wait_until


@dataclass
class PrivateDocker:
    """With a bench on it."""

    state: Path
    bench: Bench

    @property
    def daemon(self) -> Dockerd:
        return Dockerd(self.state)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As its owner does."""
        self._end(signal.SIGTERM)

    def start(self) -> None:
        start_private(self.state)

    def _end(self, number: signal.Signals) -> None:
        pid = living_pid(self.daemon.pid_file, "dockerd")
        assert pid is not None
        os.kill(pid, number)
        wait_until(lambda: living_pid(self.daemon.pid_file, "dockerd") is None, 30)
