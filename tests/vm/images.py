"""Disk images of guests: a Debian with all that the tests need, made once and kept until one of its sources changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from gpulease_host.toolkit import packages as toolkit_packages
from local import dockerd_packages

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("GPULEASE_VM_CACHE") or ROOT / ".cache" / "vm")
RECIPE = Path(__file__).with_name("recipe.sh")
SIZE = "20G"  # sparse: about 3 GB are written
PROGRAMS = {
    "debootstrap": "debootstrap",
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "e2fsprogs": "mkfs.ext4",
    "openssh-client": "ssh",
    "util-linux": "setpriv",
}
# A machine with systemd, its kernel and sshd; Docker and what stands beside it; what tests and toolkit are made of.
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "linux-image-cloud-amd64", "initramfs-tools", "openssh-server"),
    *("iproute2", "procps", "kmod", "sudo", "git", "make", "curl", "apparmor", "docker.io", "iptables", "crun"),
    *("docker-registry", "firewalld", "ufw", "nftables", "xfsprogs", "btrfs-progs", "e2fsprogs", "faketime"),
    *("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev", "musl-tools", "debootstrap"),
    *("busybox-static", "openssh-client", "patchelf", "nginx-light", "libnss3-tools"),
)
BROWSER = ("chromium", "chromium-driver")
"""Where the demo is played: 300 MB."""
# Of which an image is made: when one of these files changes, so does the image.
TOOLKIT = "host/gpulease_host/toolkit"
SOURCES = (
    *("requirements.txt", "constraints.txt", "local/venv.sh"),
    *(f"{TOOLKIT}/{part}" for part in ("inside", *toolkit_packages.OWN_PARTS)),
)

_MAKING: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class ImageError(Exception):
    """A guest's disk could not be made; the message says where the reason stands."""


@dataclass(frozen=True)
class Image:
    """A disk for qemu to read, with the kernel and first RAM disk to start it with."""

    suite: str
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"


def key() -> Path:
    """The private key that opens every guest; made once for each cache."""
    path = CACHE / "key"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def prepare() -> None:
    """What every guest needs. Raises MissingPackagesError."""
    dockerd_packages.provide_programs(PROGRAMS)
    key()


def provide(suite: str, *, with_browser: bool = False) -> Image:
    """Some minutes the first time, in which others who want the same wait. Raises ImageError."""
    with _MAKING[suite]:
        return _provide(suite, with_browser)


def _provide(suite: str, with_browser: bool) -> Image:
    packages = (*PACKAGES, *(BROWSER if with_browser else ()))
    image = Image(suite, CACHE / f"{suite}-{_digest(packages)}")
    if not image.disk.exists():
        print(f"{suite}: making the guest's disk, some minutes, once", flush=True)
        for old in CACHE.glob(f"{suite}-*"):
            shutil.rmtree(old)
        _make(image, packages)
    return image


def clear_leftovers() -> None:
    """What a run that was killed has left: its guests' disks, half a system."""
    for pattern in ("guest-*", "*-root-*"):
        for folder in CACHE.glob(pattern):
            shutil.rmtree(folder)


def files_of_checkout() -> bytes:
    """Their names, one a line: what git has or would take."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    return b"".join(line + b"\n" for line in listed.stdout.splitlines() if (ROOT / line.decode()).is_file())


def _make(image: Image, packages: tuple[str, ...]) -> None:
    public_key = key().with_suffix(".pub").read_text().strip()
    image.folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{image.suite}-root-") as root:
        names = image.folder / "files"
        names.write_bytes(files_of_checkout())
        recipe = ["sh", str(RECIPE), image.suite, root, str(ROOT), str(names), " ".join(packages), public_key]
        with (CACHE / f"{image.suite}.log").open("wb") as log:
            # In a mount namespace, so that its mounts are gone with it, however it ends.
            command = ["unshare", "--mount", *recipe]
            if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
                raise ImageError(
                    f"The disk of the guest {image.suite} could not be made; the end of {log.name} says why."
                )
        for name, file in (("vmlinuz", image.kernel), ("initrd.img", image.initrd)):
            shutil.copyfile(max((Path(root) / "boot").glob(f"{name}-*")), file)
        unfinished = image.disk.with_suffix(".new")
        subprocess.run(["truncate", "-s", SIZE, str(unfinished)], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, str(unfinished)], check=True)
        unfinished.rename(image.disk)


def _digest(packages: tuple[str, ...]) -> str:
    digest = hashlib.sha256(" ".join(packages).encode())
    for source in (str(RECIPE), *(str(ROOT / name) for name in SOURCES)):
        path = Path(source)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
