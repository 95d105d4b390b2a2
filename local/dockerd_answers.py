"""Whether a Docker answers on a socket, and whether somebody at least listens there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

START_TIMEOUT_S = 180
"""Only guards against waiting for ever."""
ANSWER_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 5


class SilentDockerError(Exception):
    """Somebody listens, and does not answer this user as a Docker does; the sentence says what to do."""


def info(docker_host: str) -> dict[str, Any] | None:
    """What the Docker there tells of itself; None where none answers now."""
    try:
        return dict(docker.APIClient(base_url=docker_host, timeout=ANSWER_TIMEOUT_S).info())
    except (docker.errors.DockerException, requests.RequestException):
        return None


def check_rights(path: Path) -> None:
    """Raises SilentDockerError for who may not use the socket: waiting would not help them."""
    if isinstance(_refusal(path), PermissionError):
        raise SilentDockerError(
            f"You may not use the Docker on {path}. Run this as root, or join the group docker and log in again:\n"
            "  usermod -aG docker <your name>"
        )


def info_once_started(path: Path, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any] | None:
    """As `info`. systemd listens in the name of a Docker that it starts then: that one is waited for.

    Raises SilentDockerError.
    """
    found: list[dict[str, Any] | None] = []

    def told() -> bool:
        found.append(info(f"unix://{path}"))
        return found[-1] is not None or not is_listening(path)

    if not waits_until(told, timeout_s):
        raise SilentDockerError(f"Something listens on {path} and does not answer. Look: systemctl status docker")
    return found[-1]


def answers(path: Path) -> bool:
    return info(f"unix://{path}") is not None


def is_listening(path: Path) -> bool:
    """A file left by a killed dockerd has nobody who listens. Whoever is not for this user, or very busy, does."""
    return not isinstance(_refusal(path), FileNotFoundError | ConnectionRefusedError)


def _refusal(path: Path) -> OSError | None:
    """What keeps us from connecting there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error
    return None


def waits_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
