"""What sessions, notebooks and `onstart` find around them: the image's variables, its shell, its PATH."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .places import RUN

TOOLKIT_SHELL = "/.gl/bin/sh"
SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh")
# What a session has of its own, and what is of no use in one.
NOT_FOR_SESSIONS = {"HOME", "PATH", "SHELL", "USER", "LOGNAME", "TERM", "PWD", "OLDPWD", "SHLVL", "_"}
OURS = "OPENSSL_CONF JUPYTER_RUNTIME_DIR JUPYTER_NO_CONFIG"
POWER = "/.gl/power"
"""`reboot` and its kin, which say what to do instead."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PROFILE = Path("/etc/profile")
PROFILE_PART = Path("/etc/profile.d/zz-gpulease.sh")


def given_environment() -> dict[str, str]:
    """What Docker gave the container: the image's variables and the contract's."""
    texts = os.fsdecode((RUN / "environ").read_bytes()).split("\0")
    return dict(text.split("=", 1) for text in texts if "=" in text)


def working_shell() -> str:
    """The image's own, if it runs."""
    for shell in SHELLS:
        if os.access(shell, os.X_OK):
            try:
                if subprocess.run([shell, "-c", ":"], capture_output=True, timeout=5, check=False).returncode == 0:
                    return shell
            except (OSError, subprocess.TimeoutExpired):
                continue
    return TOOLKIT_SHELL


def write_environment(given: Mapping[str, str], shell: str) -> None:
    """For sessions, to be read by any shell. What no shell can name stays out."""
    home = given.get("HOME", "")
    fixed = {
        "HOME": "/root" if home in ("", "/") else home,
        "PATH": ":".join(filter(None, [POWER, given.get("PATH"), "/.gl/bin"])),
        "SHELL": shell,
        "USER": "root",
        "LOGNAME": "root",
    }
    theirs = {name: value for name, value in given.items() if NAME.fullmatch(name) and name not in NOT_FOR_SESSIONS}
    lines = [f"unset {OURS}", *(f"export {name}={shlex.quote(value)}" for name, value in {**theirs, **fixed}.items())]
    (RUN / "environment.sh").write_bytes(os.fsencode("\n".join(lines) + "\n"))
    for folder in (Path(fixed["HOME"]), Path("/root")):
        with suppress(OSError):  # sshd and shells do without, from /
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def keep_path_at_login(path: str, profile: Path = PROFILE, part: Path = PROFILE_PART) -> None:
    """Login shells begin with the PATH of /etc/profile, so the image's own is put in front of that.

    Made anew, since what the image has there may be anything. Where it cannot be written, login shells do without.
    """
    text = f'p={shlex.quote(path)}\ncase ":$PATH:" in *":$p:"*) ;; *) PATH="$p:$PATH"; export PATH ;; esac\nunset p\n'
    if not profile.exists():
        return
    with suppress(OSError):
        part.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
