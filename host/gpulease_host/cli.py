"""`gpulease-host`: register, daemon, accept, status, rotate-key, accept-docker, toolkit, live-restore, leave.

`accept` is run for each command, so it and this file import next to nothing; the rest is imported when it is asked for.
"""

import os
import sys

USAGE = """usage: gpulease-host register --api-url URL --token TOKEN [--simulate-gpus N]
       gpulease-host daemon
       gpulease-host accept ORDER
       gpulease-host status
       gpulease-host rotate-key
       gpulease-host accept-docker
       gpulease-host toolkit [build | verify | packages]
       gpulease-host live-restore on | off
       gpulease-host leave [--lose-data]

State is kept in GPULEASE_HOST_DIR (/var/lib/gpulease)."""


def main() -> int:
    """The console script. Exit codes: 0 done, 1 refused or failed, 2 wrong use."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "accept":
        return _ask_daemon(f"accept {arguments[1]}")
    if arguments in (["status"], ["rotate-key"], ["accept-docker"]):
        return _ask_daemon(arguments[0])
    if arguments == ["daemon"] or arguments[:1] in (["register"], ["toolkit"], ["live-restore"], ["leave"]):
        from gpulease_host.commands import run_command

        return run_command(arguments, os.environ)
    print(USAGE, file=sys.stdout if arguments in (["-h"], ["--help"]) else sys.stderr)
    return 0 if arguments in (["-h"], ["--help"]) else 2


def _ask_daemon(request: str) -> int:
    from gpulease_host.accept import DEFAULT_FOLDER, AcceptError, ask

    folder = os.environ.get("GPULEASE_HOST_DIR") or DEFAULT_FOLDER
    try:
        print(ask(folder, request))
    except AcceptError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
