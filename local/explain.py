"""Says in a sentence why the demo or `make up` cannot go on: people read it, not a dump of what was last seen."""

from __future__ import annotations

import subprocess
from typing import Any

import docker.errors
import requests
from selenium.common.exceptions import WebDriverException

from local.client import ApiError, WaitedTooLongError
from local.cloud.launch import LaunchError
from local.demo.rental import UnexpectedError
from local.deploy import DeployError
from local.dockerd import DockerdError
from local.dockerd_packages import MissingPackagesError
from local.images import ImageError
from local.machine import JoinError
from local.proxies import ProxyError
from local.supervise import ProcessError
from local.synth import SynthesisError

MISSING = (DockerdError, MissingPackagesError, ImageError, ProxyError)
"""What only the owner of this machine can mend; each says how."""
FAILED = (
    ApiError,
    DeployError,
    JoinError,
    LaunchError,
    ProcessError,
    SynthesisError,
    UnexpectedError,
    WaitedTooLongError,
    WebDriverException,
    docker.errors.DockerException,
    OSError,
    subprocess.SubprocessError,
)
"""OSError is also what `requests` raises, and a disk that is full."""


def explain(error: BaseException) -> str:
    if isinstance(error, WaitedTooLongError):
        return (
            str(error)
            if error.why
            else f"{error.what} did not come about in {error.timeout_s:.0f} s{_state_of(error.seen)}."
        )
    if isinstance(error, WebDriverException):
        return f"The browser failed: {(error.msg or type(error).__name__).splitlines()[0]}"
    if isinstance(error, ProcessError):  # the end of its log follows
        return str(error).partition("\n")[0]
    if isinstance(error, requests.ConnectionError):
        return "The service or Docker does not answer any more."
    return str(error)


def _state_of(seen: Any) -> str:
    """Of a contract with its one instance, or of a host, as the API tells them."""
    if not isinstance(seen, dict) or "status" not in seen:
        return ""
    instances = seen.get("instances") or [{}]
    told = [f"{name} is {each['status']}" for name, each in (("it", seen), ("its instance", instances[0])) if each]
    reason = instances[0].get("reason") or seen.get("reason")
    return f": {', '.join(told)}" + (f" ({str(reason).rstrip('.')})" if reason else "")
