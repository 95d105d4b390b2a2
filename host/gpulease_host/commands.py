"""The subcommands that need the whole package: register, daemon, toolkit, and what the installer calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from gpulease_host.api import Api, ApiError
from gpulease_host.docker_engine import open_engine
from gpulease_host.engine import EngineError
from gpulease_host.machine_key import MachineKeyError
from gpulease_host.machine_setup.command import run_leave, run_live_restore
from gpulease_host.machine_setup.errors import MachineSetupError
from gpulease_host.register import Machine, register
from gpulease_host.run_daemon import run_daemon
from gpulease_host.settings import Settings, SettingsError, toolkit_folder
from gpulease_host.toolkit.command import run_toolkit
from gpulease_host.toolkit.errors import ToolkitError


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command that is named first; what people must know is one line on stderr."""
    try:
        settings = Settings.from_environment(environment)
        if arguments[0] == "daemon":
            run_daemon(settings, open_engine)
        if arguments[0] == "toolkit":
            return run_toolkit(arguments[1:], toolkit_folder(environment))
        if arguments[0] == "live-restore":
            return run_live_restore(arguments[1:], settings)
        if arguments[0] == "leave":
            return run_leave(arguments[1:], settings)
        return _register(settings, arguments[1:])
    except (SettingsError, MachineKeyError, ApiError, EngineError, ToolkitError, MachineSetupError) as error:
        print(error, file=sys.stderr)
        return 1


def _register(settings: Settings, arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gpulease-host register", description="Make this machine a host, once.")
    parser.add_argument("--api-url", required=True, help="the service's URL")
    parser.add_argument("--token", required=True, help="the one-time token from POST /v1/hosts")
    parser.add_argument("--simulate-gpus", type=int, default=0, metavar="N", help="declare N GPUs that do not exist")
    given = parser.parse_args(arguments)
    config = register(
        settings,
        given.api_url,
        given.token,
        given.simulate_gpus,
        Machine(Api, open_engine),
    )
    print(f"This machine is host {config.host_id} now. Start it with `gpulease-host daemon`.")
    return 0
