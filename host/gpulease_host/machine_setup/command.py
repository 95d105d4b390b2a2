"""`gpulease-host live-restore` and `gpulease-host leave`, which the installer calls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.opening import open_leftovers
from gpulease_host.machine_setup.dockerd import Dockerd
from gpulease_host.machine_setup.leave import Leaving
from gpulease_host.machine_setup.live_restore import LiveRestore
from gpulease_host.settings import Settings


def run_live_restore(arguments: Sequence[str], settings: Settings) -> int:
    """Raises MachineSetupError and EngineError."""
    parser = argparse.ArgumentParser(prog="gpulease-host live-restore", description="A setting of Docker.")
    parser.add_argument("deed", choices=["on", "off"], help="off undoes what on has changed, and no more")
    api = DockerApi(f"unix://{settings.docker_socket}")
    live_restore = LiveRestore(api.info, lambda: Dockerd.find(settings.docker_socket), settings.folder)
    deed = parser.parse_args(arguments).deed
    print(f"gpulease: Docker: {live_restore.turn_on() if deed == 'on' else live_restore.turn_off()}")
    return 0


def run_leave(arguments: Sequence[str], settings: Settings) -> int:
    """Raises MachineSetupError, SettingsError and EngineError."""
    parser = argparse.ArgumentParser(prog="gpulease-host leave", description="Remove what this host has made in Docker")
    parser.add_argument("--lose-data", action="store_true", help="also while instances are here, with all their data")
    for line in Leaving(settings, open_leftovers).leave(lose_data=parser.parse_args(arguments).lose_data):
        print(f"gpulease: Leaving: {line}")
    return 0
