"""What a host is told: by its environment at start, and by its registration for good."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from gpulease_host.accept import DEFAULT_FOLDER
from gpulease_host.files import write_durably


class SettingsError(Exception):
    """The host is not registered here, or a setting is not what it must be."""


@dataclass(frozen=True)
class Settings:
    folder: Path
    heartbeat_s: float
    stop_grace_s: int
    credentials: Path
    docker_socket: Path = Path("/var/run/docker.sock")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises SettingsError, naming the variable."""
        return cls(
            folder=Path(environment.get("GPULEASE_HOST_DIR") or DEFAULT_FOLDER),
            heartbeat_s=positive_number(environment, "GPULEASE_HEARTBEAT_S", 60),
            stop_grace_s=int(positive_number(environment, "GPULEASE_STOP_GRACE_S", 10)),
            credentials=credentials_path(environment),
            docker_socket=Path(environment.get("DOCKER_HOST", "").removeprefix("unix://") or cls.docker_socket),
        )

    @property
    def key_path(self) -> Path:
        return self.folder / "machine.key"

    @property
    def tunnel_key_path(self) -> Path:
        return self.folder / "tunnel.key"

    @property
    def journal_path(self) -> Path:
        return self.folder / "journal"

    @property
    def config_path(self) -> Path:
        return self.folder / "config.json"

    @property
    def images_path(self) -> Path:
        return self.folder / "images"

    @property
    def gpus_path(self) -> Path:
        return self.folder / "gpus.json"

    @property
    def pid_path(self) -> Path:
        return self.folder / "daemon.pid"


@dataclass(frozen=True)
class HostConfig:
    """What registration learned."""

    api_url: str
    host_id: int
    key_id: str
    event_bus_name: str
    region: str
    simulate_gpus: int

    @classmethod
    def load(cls, path: Path) -> HostConfig:
        """Raises SettingsError."""
        try:
            body = json.loads(path.read_bytes())
            return cls(**{name: body[name] for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            raise SettingsError(f"{path} is missing. Run `gpulease-host register` first.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{path} cannot be read: {error!r}") from error

    def save(self, path: Path) -> None:
        write_durably(path, json.dumps({"v": 1, **asdict(self)}, indent=2).encode() + b"\n", mode=0o600)


def lock_folder(path: Path) -> TextIO:
    """One daemon a folder, for as long as the answered file is open. Raises SettingsError."""
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SettingsError(f"Another daemon runs already in {path.parent}.") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def toolkit_folder(environment: Mapping[str, str]) -> Path:
    """Absolute, because Docker mounts from it."""
    folder = Path(environment.get("GPULEASE_HOST_DIR") or DEFAULT_FOLDER)
    return Path(environment.get("GPULEASE_TOOLKIT_DIR") or folder / "toolkit").absolute()


def credentials_path(environment: Mapping[str, str]) -> Path:
    """Where the SSM agent writes the host role's credentials."""
    given = environment.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(given) if given else Path("~/.aws/credentials").expanduser()


def positive_number(environment: Mapping[str, str], name: str, default: float = 0.0) -> float:
    """Raises SettingsError."""
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 86400:
        raise SettingsError(f"{name} is {text!r}; it must be a number above 0 and below 86400.")
    return value
