"""`python -m proxy --config FILE`: run a proxy in the foreground, until SIGTERM or SIGINT.

`--host-key` prints the key that hosts will know it by, made if there is none, and ends: the service has to be told it.
"""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import sys
import time
from pathlib import Path

from proxy.faults import end_on_fault
from proxy.log import Log
from proxy.service import HttpService
from proxy.settings import API_KEY, Settings, SettingsError
from proxy.supervisor import PROGRAM_PATH, Supervisor, find_program, make_host_key


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proxy", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a JSON file; docs/proxy.md has the settings")
    parser.add_argument("--host-key", action="store_true", help="print the public host key, and end")
    options = parser.parse_args()
    try:
        settings = Settings.load(options.config)
        become(settings)
        if options.host_key:
            print(make_host_key(settings))
            return 0
        service = HttpService(settings.api_url, read_key(settings))
        log = Log(sys.stderr, time.time)
        end_on_fault(log)
        supervisor = Supervisor(settings, service, time.monotonic, log)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: supervisor.stopping.set())
        supervisor.run()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_key(settings: Settings) -> str:
    """Raises SettingsError, which repeats nothing of the key."""
    try:
        key = Path(settings.api_key_file).read_text(errors="replace").strip()
    except OSError as error:
        raise SettingsError(f"api_key_file cannot be read: {error}") from error
    if not API_KEY.fullmatch(key):
        raise SettingsError("api_key_file holds no API key: it is one line of letters, digits, - and _.")
    return key


def become(settings: Settings) -> None:
    """Give up root for the account of the tunnels: sshd lets in only who it runs as. Raises SettingsError.

    The program begins anew as that account, with the machine's own Python: what it still has to load must be readable.
    """
    try:
        account = pwd.getpwnam(settings.user)
    except KeyError:
        raise SettingsError(f"There is no account {settings.user}. As root, run: useradd -r {settings.user}") from None
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and account.pw_uid != 0:
        os.chown(settings.folder, account.pw_uid, account.pw_gid)
        os.initgroups(settings.user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        python, sources = find_program("python3"), Path(__file__).resolve().parents[1]
        os.execve(python, [python, "-m", "proxy", *sys.argv[1:]], {"PATH": PROGRAM_PATH, "PYTHONPATH": str(sources)})
    if os.geteuid() != account.pw_uid:
        raise SettingsError(f"Start the proxy as root or as {settings.user}.")
    os.umask(0o077)


if __name__ == "__main__":
    sys.exit(main())
