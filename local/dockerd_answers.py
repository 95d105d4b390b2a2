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
    """Somebody listens, and does not answer as a Docker does."""


def info(docker_host: str) -> dict[str, Any] | None:
    """What the Docker there tells of itself; None where none answers now."""
    try:
        return dict(docker.APIClient(base_url=docker_host, timeout=ANSWER_TIMEOUT_S).info())
    except (docker.errors.DockerException, requests.RequestException):
        return None


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
    """A file left by a killed dockerd has nobody who listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # not for this user, or too many wait
            return True
    return True


def waits_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
