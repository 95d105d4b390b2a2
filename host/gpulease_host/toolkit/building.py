"""One build of the toolkit, into an empty folder.

sshd asks the C library who root is. Its own copy of that library, and only it, reads `/.gl/passwd` and its kin in place
of `/etc/passwd`: the paths have one length. So it runs in an image that has no such files, and writes none.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from gpulease_host.toolkit import elf, layout, manifest, openssh, packages, python_copy, running
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.openssh import OpenSsh
from gpulease_host.toolkit.origins import Origins

OPENED_LATE = "libgcc_s.so.1"
SSH_LIBRARIES = f"{layout.TOOLKIT}/lib-ssh"
ACCOUNT_FILES = ("passwd", "group", "shadow", "nsswitch.conf")
PRIVSEP_OLD, PRIVSEP_NEW = "/run/sshd", f"{layout.TOOLKIT}/sshd"  # one length, and one end: it is also the user name
TEXTS: Mapping[str, str] = {
    "passwd": f"root:x:0:0:root:/root:{layout.TOOLKIT}/bin/session\nsshd:x:65534:65534::{layout.TOOLKIT}/sshd:/\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "shadow": "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "openssl.cnf": "",
}
SCRIPTS = ("session", "within", "kernel")
POWER = ("reboot", "poweroff", "halt", "shutdown")
INIT = "gpulease-init"
"""The name of a container's first process: `killall python3` finds it by its program's."""
NOTIFICATIONS = "@jupyterlab/apputils-extension:notification"


def build(root: Path) -> None:
    """Raises ToolkitError. What is left in `root` then is of no use."""
    packages.check()
    ssh = openssh.find(packages.program("sshd"))
    origins = Origins(packages.fingerprint())
    (root / "bin").mkdir(parents=True)
    (root / "sshd").mkdir()
    _write_texts(root)
    _add_busybox(root, origins)
    _add_inside(root)
    _add_ssh(root, ssh, origins)
    _add_python(root, origins)
    origins.write(root)
    _close(root)
    manifest.write(root)


def _write_texts(root: Path) -> None:
    for name, text in TEXTS.items():
        (root / name).write_text(text)


def _add_busybox(root: Path, origins: Origins) -> None:
    busybox = packages.program("busybox")
    origins.copy(busybox, root / "bin" / "busybox")
    (root / "bin" / "busybox").chmod(0o755)
    for applet in running.say([busybox, "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")


def _add_inside(root: Path) -> None:
    shutil.copytree(packages.INSIDE, root / "inside", ignore=shutil.ignore_patterns("__pycache__"))
    for name in SCRIPTS:
        (root / "inside" / f"{name}.sh").rename(root / "bin" / name)
        (root / "bin" / name).chmod(0o755)
    (root / "inside" / "power.sh").chmod(0o755)
    (root / "power").mkdir()
    for name in POWER:
        (root / "power" / name).symlink_to("../inside/power.sh")


def _add_ssh(root: Path, ssh: OpenSsh, origins: Origins) -> None:
    originals = [*ssh.programs, Path("/usr/bin/scp"), Path("/usr/bin/ssh-keygen")]
    elf.copy_libraries(originals, root, origins)
    _copy_account_library(root)
    for original in originals:
        ours = root / "bin" / original.name
        ours.unlink(missing_ok=True)
        origins.copy(original, ours)
        elf.relocate(ours, first=[SSH_LIBRARIES])
        ours.chmod(0o755)
    _move_empty_folder(root, ssh)
    with (root / "inside" / "sshd_config").open("a") as config:
        config.write(ssh.config())


def _move_empty_folder(root: Path, ssh: OpenSsh) -> None:
    """Where who is not let in yet is locked up. sshd looks for it at its start, whichever program goes there."""
    for ours in (root / "bin" / each.name for each in ssh.programs):
        if ours.name == "sshd" or elf.has_text(ours, PRIVSEP_OLD):
            elf.replace_text(ours, PRIVSEP_OLD, PRIVSEP_NEW)


def _copy_account_library(root: Path) -> None:
    """Also without an image's say: which hosts may connect is for the network to decide."""
    folder = root / "lib-ssh"
    folder.mkdir()
    for name in ("libc.so.6", "libwrap.so.0"):
        if (root / "lib" / name).exists():
            shutil.copyfile(root / "lib" / name, folder / name)
    for name in ACCOUNT_FILES:
        elf.replace_text(folder / "libc.so.6", f"/etc/{name}", f"{layout.TOOLKIT}/{name}")
    if (folder / "libwrap.so.0").exists():
        for name in ("hosts.allow", "hosts.deny"):
            elf.replace_text(folder / "libwrap.so.0", f"/etc/{name}", f"{layout.TOOLKIT}/{name}")


def _add_python(root: Path, origins: Origins) -> None:
    site = python_copy.copy_python(root, origins)
    (root / "bin" / INIT).symlink_to("../python/bin/python3")
    python_copy.install_jupyter(site)
    _offer_one_kernel(root)
    _settle_jupyter(root)
    found = list(python_copy.binaries(root))
    elf.copy_libraries(found, root, origins, own=root)
    elf.copy_library(OPENED_LATE, _opened_late(), root, origins)
    for path in found:
        elf.relocate(path)
    python_copy.compile_all(site)


def _offer_one_kernel(root: Path) -> None:
    spec = {
        "argv": [f"{layout.TOOLKIT}/bin/kernel", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    folder = root / "python" / "share" / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(spec))


def _settle_jupyter(root: Path) -> None:
    """There is no network inside to look for news in, and nothing that its user could update."""
    folder = root / "python" / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(
        json.dumps({NOTIFICATIONS: {"fetchNews": "false", "checkForUpdates": False}})
    )


def _opened_late() -> Path:
    """The C library opens this one by name when a thread is cancelled."""
    for line in running.run(["/sbin/ldconfig", "-p"]).stdout.splitlines():
        about, _, path = line.strip().rpartition(" => ")
        if about.startswith(f"{OPENED_LATE} ") and "64" in about:
            return Path(path)
    raise ToolkitError(f"{OPENED_LATE} is missing here. As root, run: apt-get install -y libgcc-s1")


def _close(root: Path) -> None:
    """Owned by root and writable by nobody: sshd refuses less."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555 | 0o444 | (0o111 if path.is_dir() else 0))
    root.chmod(0o755)
