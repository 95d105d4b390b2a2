"""The Docker daemon that runs here: with which arguments, what it says to a file of settings, and how it reloads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.machine_setup.errors import MachineSetupError

PID_FILES = (Path("/run/docker.pid"), Path("/var/run/docker.pid"))
DEFAULT_SETTINGS = Path("/etc/docker/daemon.json")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VALIDATE_TIMEOUT_S = 120


@dataclass(frozen=True)
class Dockerd:
    pid: int
    arguments: Sequence[str]
    """Without the program itself."""
    program: str

    @classmethod
    def find(cls, pid_files: Sequence[Path] = PID_FILES, proc: Path = Path("/proc")) -> Dockerd:
        """Raises MachineSetupError."""
        for path in pid_files:
            try:
                pid = int(path.read_text())
                words = os.fsdecode((proc / str(pid) / "cmdline").read_bytes()).split("\0")
            except (OSError, ValueError):
                continue
            # Not the file that runs: an update may have replaced it, and the new one is what starts next.
            return cls(pid, words[1:-1], shutil.which("dockerd", path=SEARCH_PATH) or words[0])
        raise MachineSetupError("The Docker daemon that runs here was not found: it has no /run/docker.pid.")

    @property
    def settings_path(self) -> Path:
        """Where links lead to: a link stays one."""
        return Path(self.flag("config-file") or DEFAULT_SETTINGS).resolve()

    def flag(self, name: str) -> str | None:
        """The value that it was started with; a flag without one is true."""
        found = None
        for position, word in enumerate(self.arguments):
            if word == f"--{name}":
                following = self.arguments[position + 1] if position + 1 < len(self.arguments) else ""
                found = following if following and not following.startswith("-") else "true"
            elif word.startswith(f"--{name}="):
                found = word.partition("=")[2]
        return found

    def complaint_about(self, settings: Path) -> str | None:
        """What a start with this file and today's arguments would fail with. Before 23.0, Docker cannot be asked."""
        command = [self.program, *self.arguments, "--validate", "--config-file", str(settings)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=VALIDATE_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        if done.returncode == 0 or any("unknown flag" in line for line in said):
            return None
        return said[-1] if said else f"dockerd --validate ended with {done.returncode}"

    def reload(self) -> None:
        """It reads its settings again. Raises OSError."""
        os.kill(self.pid, signal.SIGHUP)
