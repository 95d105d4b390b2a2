"""`make demo` after kill -9 of everything that an earlier one started, and twice in a row."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import supervise
from local.proxies import LocalProxies
from local.site import LOCAL

ENVIRONMENT = {**os.environ, "PYTHONPATH": "functions:host:."}
COMMAND = [sys.executable, "-m", "local.demo"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_plays_again_after_everything_was_killed_at_a_random_moment() -> None:
    seconds = random.Random().uniform(2, 60)
    killed = subprocess.Popen(COMMAND, cwd=supervise.ROOT, env=ENVIRONMENT, start_new_session=True)
    time.sleep(seconds)
    for pid in (killed.pid, *_running_for("demo"), *_running_for("docker")):
        _kill(pid)
    killed.wait()
    for _ in range(2):
        again = subprocess.run(COMMAND, cwd=supervise.ROOT, env=ENVIRONMENT, check=False, timeout=250)
        assert again.returncode == 0, f"the demo did not recover from a kill after {seconds:.1f} s"
        assert not _running_for("demo")
        assert _others_use_docker() or not _running_for("docker")


def _running_for(name: str) -> list[int]:
    """Every process whose command line or environment names this folder: the demo's, or Docker's when it is ours."""
    folders = (str(LOCAL / name).encode(), str(LocalProxies(LOCAL / f"{name}-proxies").folder).encode())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(folder in text for folder in folders):
                found.append(int(entry.name))
    return found


def _others_use_docker() -> bool:
    """The demo leaves it to another site, as that of the tests around it."""
    return any(supervise.running("daemon", state=site) for site in LOCAL.glob("*") if site.is_dir())


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
