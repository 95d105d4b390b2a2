"""Prepares a state folder for a start: one owner at a time, free ports, lasting keys, an empty scratch folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from local import synth
from local.cloud.settings import HOST, READY_FILE, CloudSettings, cloud_environment, read_settings
from local.ports import free_port

LOCK_FILE = "lock"


class LaunchError(Exception):
    """The cloud cannot be started, in one sentence that says what to do."""


def prepare(state: Path, front_port: int, *, assembly: Path | None, context: Mapping[str, str]) -> CloudSettings:
    """Make the state folder ready and write the settings; the caller's process then becomes the cloud.

    The AWS port and the account's key stay what they were: agents that outlived the last cloud know them.
    """
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    _take(state)
    last = read_settings(state)
    (state / READY_FILE).unlink(missing_ok=True)
    _empty(state / "tmp")
    _require_free(front_port)
    settings = CloudSettings(
        state_dir=str(state),
        front_port=front_port,
        aws_port=last.aws_port if last and _is_free(last.aws_port) else free_port(),
        assembly=str(assembly or synth.cached_assembly(synth.ROOT, context)),
        zip_cache=str(synth.ROOT / ".cache" / "assets"),
        admin_access_key=last.admin_access_key if last else "AKIA" + secrets.token_hex(8).upper(),
        admin_secret_key=last.admin_secret_key if last else secrets.token_urlsafe(30),
    )
    settings.write()
    return settings


def become_cloud(settings: CloudSettings) -> None:
    """Replace this process by the cloud, with an environment made for it."""
    command = [sys.executable, "-m", "local.cloud.run", settings.state_dir]
    os.chdir(synth.ROOT)
    os.execve(sys.executable, command, cloud_environment(settings))


def _take(state: Path) -> None:
    """Hold the state folder until this process, which becomes the cloud, is gone."""
    fd = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise LaunchError(
            f"Another local cloud runs on {state}. Run make down, or make clean; who it is: fuser {state}/lock."
        ) from error
    os.set_inheritable(fd, True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def _require_free(port: int) -> None:
    if not _is_free(port):
        raise LaunchError(f"Port {port} on {HOST} is in use. Stop what uses it, or choose another with PORT=.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
