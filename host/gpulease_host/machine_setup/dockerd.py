"""The Docker daemon that runs here: with which arguments, what it says to a file of settings, and how it reloads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.machine_setup.errors import MachineSetupError

PID_FILES = (Path("/run/docker.pid"), Path("/var/run/docker.pid"))
DEFAULT_SETTINGS = Path("/etc/docker/daemon.json")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VALIDATE_TIMEOUT_S = 120
PROGRAM = "dockerd"
LISTENING = 0x10000
"""Among the flags of a socket in the kernel's list."""


@dataclass(frozen=True)
class Dockerd:
    pid: int
    arguments: Sequence[str]
    """Without the program itself."""
    program: str

    @classmethod
    def find(cls, socket: Path, pid_files: Sequence[Path] = PID_FILES, proc: Path = Path("/proc")) -> Dockerd:
        """The one that answers on this socket. A pid file may be old, and its number another program's by now.

        Raises MachineSetupError.
        """
        for path in pid_files:
            try:
                process = proc / str(int(path.read_text()))
                words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
                if Path(words[0]).name != PROGRAM or not _listens(process, socket, proc):
                    continue
            except (OSError, ValueError):
                continue
            # Not the file that runs: an update may have replaced it, and the new one is what starts next.
            return cls(int(process.name), words[1:-1], shutil.which(PROGRAM, path=SEARCH_PATH) or words[0])
        raise MachineSetupError(
            f"The Docker daemon behind {socket} was not found: {pid_files[0]} does not name it. Restart Docker, or "
            "turn live-restore on yourself, and run the same line again."
        )

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


def _listens(process: Path, socket: Path, proc: Path) -> bool:
    """Whether the process holds the socket, which systemd may have made for it."""
    held = set()
    for each in (process / "fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            held.add(str(each.readlink()))
    for line in (proc / "net" / "unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *path = line.split(maxsplit=7)
        is_it = path and Path(path[0]).resolve() == socket.resolve()
        if is_it and int(flags, 16) & LISTENING and f"socket:[{inode}]" in held:
            return True
    return False
