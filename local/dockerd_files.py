"""Where a Docker Engine of ours keeps its files, and whether the process of a pid file lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local.run_folder import run_folder

DEFAULT_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True)
class Dockerd:
    """The files of one dockerd of ours; everything follows from its state directory."""

    state_dir: Path
    socket: Path | None = None
    live_restore: bool = True

    @property
    def data_image(self) -> Path:
        return self.state_dir / "data.btrfs"

    @property
    def data_root(self) -> Path:
        return self.state_dir / "data"

    @property
    def log(self) -> Path:
        return self.state_dir / "dockerd.log"

    @property
    def programs(self) -> Path:
        return self.state_dir / "bin"

    @property
    def run_dir(self) -> Path:
        return run_folder("docker", self.state_dir)

    @property
    def pid_file(self) -> Path:
        return self.run_dir / "dockerd.pid"

    @property
    def socket_file(self) -> Path:
        return self.run_dir / "socket"

    @property
    def config(self) -> Path:
        """Empty: the machine's own /etc/docker/daemon.json is not for us."""
        return self.run_dir / "daemon.json"

    @property
    def simulated_gpus(self) -> Path:
        return self.run_dir / "simulated-gpus"

    @property
    def own_socket(self) -> Path:
        """Where it was told to listen when it was last started."""
        return Path(self.socket_file.read_text()) if self.socket_file.exists() else DEFAULT_SOCKET

    @property
    def containerd_pid_file(self) -> Path:
        return self.run_dir / "exec" / "containerd" / "containerd.pid"


def living_pid(pid_file: Path, program: str) -> int | None:
    """The living process of that name, never another one that inherited the number; a zombie is dead."""
    try:
        pid = int(pid_file.read_text())
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    alive = status.startswith(f"Name:\t{program}\n") and "\nState:\tZ" not in status
    return pid if alive else None
