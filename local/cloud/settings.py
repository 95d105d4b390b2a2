"""What one local cloud runs with, and the bare environment its process gets.

MiniStack reads its settings from the environment at import and passes what it has to every function, so a
variable that a template forgot would be found by accident. The cloud's process therefore starts from nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
HOST = "127.0.0.1"
READY_FILE = "cloud.json"
SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class CloudSettings:
    """Everything the cloud's process is told, by a file that only its owner reads."""

    state_dir: str
    front_port: int
    aws_port: int
    assembly: str
    zip_cache: str
    admin_access_key: str
    admin_secret_key: str

    @property
    def state(self) -> Path:
        """The folder with everything that lasts, and the temporary files of this run."""
        return Path(self.state_dir)

    @property
    def assembly_folder(self) -> Path:
        """The synthesized templates."""
        return Path(self.assembly)

    @property
    def zip_cache_folder(self) -> Path:
        """Where zipped asset folders are kept between starts."""
        return Path(self.zip_cache)

    @property
    def aws_endpoint(self) -> str:
        """Where SDKs send their calls."""
        return f"http://{HOST}:{self.aws_port}"

    @property
    def front_url(self) -> str:
        """The service's one plain URL."""
        return f"http://{HOST}:{self.front_port}"

    def write(self) -> None:
        """Leave the settings where the cloud's process looks for them."""
        write_secret(self.state / SETTINGS_FILE, json.dumps(asdict(self), indent=2))


@dataclass(frozen=True)
class CloudInfo:
    """How others reach a running cloud; `cloud.json` in its state folder, mode 600."""

    pid: int
    aws_endpoint: str
    front_url: str
    region: str
    account_id: str
    admin_access_key: str
    admin_secret_key: str
    outputs: Mapping[str, str]

    def client(self, service: str, *, attempts: int = 3) -> Any:
        """A boto3 client with the account's own key."""
        import boto3  # 0.3 s that a plain `make down` need not pay
        from botocore.config import Config

        return boto3.client(
            service,  # type: ignore[call-overload]
            config=Config(retries={"total_max_attempts": attempts}),
            endpoint_url=self.aws_endpoint,
            region_name=self.region,
            aws_access_key_id=self.admin_access_key,
            aws_secret_access_key=self.admin_secret_key,
        )

    def write(self, state: Path) -> None:
        """Make it known, whole or not at all."""
        write_secret(state / READY_FILE, json.dumps(asdict(self), indent=2))


def read_settings(state: Path) -> CloudSettings | None:
    """What the last cloud of this state folder was started with."""
    path = state / SETTINGS_FILE
    return CloudSettings(**json.loads(path.read_text())) if path.exists() else None


def read_info(state: Path) -> CloudInfo | None:
    """What the last cloud of this state folder wrote about itself."""
    path = state / READY_FILE
    return CloudInfo(**json.loads(path.read_text())) if path.exists() else None


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner reads, in one atomic step."""
    fresh = path.with_name(f"{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(fd)
    fresh.replace(path)


def cloud_environment(settings: CloudSettings) -> dict[str, str]:
    """The whole environment of the cloud's process."""
    return {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": settings.admin_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.admin_secret_key,
        "BIND_HOST": HOST,
        # No Docker for the emulator: it would remove containers that it takes for its own.
        "DOCKER_HOST": f"unix://{settings.state / 'no-docker.sock'}",
        "GATEWAY_PORT": str(settings.aws_port),
        "HOME": str(settings.state / "tmp"),
        "IOT_MTLS_ENABLED": "0",
        "LANG": "C.UTF-8",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": REGION,
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
        "S3_DATA_DIR": str(settings.state / "tmp" / "s3"),
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(settings.state / "tmp" / "snapshots"),
        "TMPDIR": str(settings.state / "tmp"),
    }
