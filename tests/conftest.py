"""What holds for every test: no settings from outside, no network beyond this machine."""

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

REAL_PARTS = ("cloud", "docker", "gpu", "slow")
FAKE_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
FOREIGN_PREFIXES = ("AWS_", "POWERTOOLS_")
SETTINGS = (
    "TABLE_NAME",
    "LIVENESS_TABLE_NAME",
    "URGENT_QUEUE_URL",
    "NORMAL_QUEUE_URL",
    "STATE_MACHINE_ARN",
    "COMMAND_DOCUMENT_NAME",
    "HOST_ROLE_NAME",
    "EVENT_BUS_NAME",
    "TUNNEL_ENDS",
    "API_URL",
    "HOST_PACKAGE_BUCKET",
    "HOST_PACKAGE_KEY",
    "STAGE",
    "CELL",
    "GRACE_S",
    "PROVISION_TIMEOUT_S",
    "ALLOW_SIMULATED_GPUS",
)


class NetworkRefusedError(Exception):
    """A unit test reached beyond this machine."""


@pytest.fixture(autouse=True)
def wiped_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials and no settings of the developer reach a unit test."""
    if _uses_real_parts(request):
        return
    for name in list(os.environ):
        if name.startswith(FOREIGN_PREFIXES) or name in SETTINGS:
            monkeypatch.delenv(name)
    for name, value in FAKE_CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def closed_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests may talk to this machine only: loopback and Unix sockets."""
    if _uses_real_parts(request):
        return
    monkeypatch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))


def _uses_real_parts(request: pytest.FixtureRequest) -> bool:
    return any(request.node.get_closest_marker(name) is not None for name in REAL_PARTS)


def _guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guard(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and not _is_loopback(str(address[0])):
            raise NetworkRefusedError(f"a unit test connects to {address}")
        return connect(self, address)

    return guard


def _is_loopback(name: str) -> bool:
    return name.startswith("127.") or name in ("::1", "localhost") or name.endswith(".localhost")
