"""Debian packages the local Docker Engine needs: installed as root, else the exact line to run is printed.

Other distributions name them differently, so nothing is guessed there either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# A program that proves the package is there, looked for where root's PATH would find it.
PROGRAMS = {
    "docker.io": "dockerd",
    "busybox-static": "busybox",
    "iptables": "iptables",
    "btrfs-progs": "mkfs.btrfs",
}
APPARMOR = {"apparmor": "apparmor_parser"}
"""Where the kernel has it on, Docker starts no container without."""
APPARMOR_IS_ON = Path("/sys/module/apparmor/parameters/enabled")
SERVICES = {"openssh-server": ("ssh.socket", "ssh.service"), "nginx-light": ("nginx.service",)}
"""What else runs them starts its own."""
APT_INSTALL = Path(__file__).with_name("apt_install.sh")
ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MissingPackagesError(Exception):
    """Packages are missing and this user, or this distribution, does not let us install them."""


def missing() -> list[str]:
    absent = _absent(PROGRAMS)
    if APPARMOR_IS_ON.is_file() and APPARMOR_IS_ON.read_text().startswith("Y"):
        absent += _absent(APPARMOR)
    if not _venv_works():
        absent.append("python3-venv")
    return absent


def ensure() -> None:
    """Install what is missing, or raise with the line that would."""
    provide(missing(), may_install=os.geteuid() == 0 and _is_debian())


def provide_programs(programs: Mapping[str, str]) -> None:
    """The packages, each told by a program that it brings; none of them brings a server."""
    provide(_absent(programs), may_install=os.geteuid() == 0 and _is_debian())


def _absent(programs: Mapping[str, str]) -> list[str]:
    return [package for package, program in programs.items() if shutil.which(program, path=ROOT_PATH) is None]


def provide(absent: list[str], *, may_install: bool) -> None:
    if not absent:
        return
    line = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(absent)}"
    if not may_install:
        raise MissingPackagesError(f"Packages are missing. As root on Debian or Ubuntu, run:\n  {line}")
    print(f"installing {', '.join(absent)}: {line}", flush=True)
    if subprocess.run(["sh", str(APT_INSTALL), *absent], check=False).returncode != 0:
        raise MissingPackagesError(f"Packages could not be installed. Once that is mended, as root, run:\n  {line}")


def _keep_off(packages: list[str]) -> None:
    """Nor with the next boot: a machine must not be opened by the way."""
    if Path("/run/systemd/system").is_dir():
        for unit in (unit for package in packages for unit in SERVICES.get(package, ())):
            subprocess.run(["systemctl", "disable", "-q", "--now", unit], check=False, capture_output=True)


def provide_without_starting(absent: list[str]) -> None:
    """As `provide`, for packages that bring a server: none of theirs starts, now or later."""
    policy = Path("/usr/sbin/policy-rc.d")
    made = bool(absent) and os.geteuid() == 0 and not policy.exists()
    if made:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        provide(absent, may_install=os.geteuid() == 0 and _is_debian())
        if made:
            _keep_off(absent)
    finally:
        if made:
            policy.unlink()


def _venv_works() -> bool:
    """python3-venv only ships ensurepip's wheels; inside a virtual environment it has done its work."""
    return sys.prefix != sys.base_prefix or shutil.which("virtualenv") is not None or _has_ensurepip()


def _has_ensurepip() -> bool:
    return (Path(os.__file__).parent / "ensurepip" / "_bundled").is_dir()


def _is_debian() -> bool:
    release = Path("/etc/os-release")
    if not release.is_file() or shutil.which("apt-get") is None:
        return False
    fields = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in names or "ubuntu" in names
