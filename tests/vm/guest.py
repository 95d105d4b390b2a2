"""One guest: a machine in qemu, reached by ssh on a loopback port. It dies with this program."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.ports import free_port
from tests.vm import images

BOOT_TIMEOUT_S = 600
POLL_S = 2.0
DATA_DISK = "8G"
"""Each; sparse. They are /dev/vdb and /dev/vdc."""
CHECKOUT = "/root/gpulease"
LOGIN = "root@127.0.0.1"
POWER_OFF_S = 60


class GuestError(Exception):
    """A guest did not come up, or did not go down; its console says more."""


@dataclass(frozen=True)
class Login:
    """A root shell in a guest that runs."""

    port: int

    def run(
        self, command: str, *, stdout: int | IO[bytes] | None = None, check: bool = True, timeout_s: float | None = None
    ) -> int:
        """The exit status. Raises CalledProcessError, TimeoutExpired."""
        done = subprocess.run(
            self.ssh(command), stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, timeout=timeout_s
        )
        if check:
            done.check_returncode()
        return done.returncode

    def output(self, command: str) -> str:
        done = subprocess.run(self.ssh(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GuestError(f"{command} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def succeeds(self, command: str) -> bool:
        return self.run(command, stdout=subprocess.DEVNULL, check=False) == 0

    def write(self, path: str, text: str) -> None:
        folder = shlex.quote(str(Path(path).parent))
        command = self.ssh(f"mkdir -p {folder} && cat >{shlex.quote(path)}")
        subprocess.run(command, input=text, text=True, check=True)

    def reboot(self) -> None:
        """As its owner does: systemd goes down and up again. Raises GuestError."""
        before = self.boot_id()
        self.run("systemctl reboot", stdout=subprocess.DEVNULL, check=False)
        wait_until(lambda: self.boot_id() not in ("", before), "The guest did not come back.")
        self.wait_for_systemd()

    def wait_for_systemd(self) -> None:
        self.run("systemctl is-system-running --wait || true", stdout=subprocess.DEVNULL)

    def boot_id(self) -> str:
        """Empty while nobody can log in."""
        try:
            return self.output("cat /proc/sys/kernel/random/boot_id")
        except GuestError:
            return ""

    def copy_checkout(self) -> None:
        """The files of this checkout as they are now, with the times that the image has (see recipe.sh)."""
        kept = f"mkdir -p {CHECKOUT} && cd {CHECKOUT} && find . -mindepth 1 -maxdepth 1 ! -name .venv ! -name .cache"
        self.run(f"{kept} -exec rm -rf {{}} +")
        with tempfile.NamedTemporaryFile() as names:
            names.write(images.files_of_checkout())
            names.flush()
            command = ["tar", "-C", str(images.ROOT), "--mtime=@1700000000", "-T", names.name, "-c"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as pack:
                unpacked = subprocess.run(self.ssh(f"tar -C {CHECKOUT} -x"), stdin=pack.stdout, check=False)
        if pack.returncode or unpacked.returncode:
            raise GuestError("The checkout could not be copied into the guest.")

    def ssh(self, command: str, *options: str) -> list[str]:
        settings = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10", "LogLevel=ERROR")
        patience = ("ServerAliveInterval=30", "ServerAliveCountMax=6")  # a guest that hangs is not waited for
        told = [word for setting in (*settings, *patience) for word in ("-o", setting)]
        return [
            "ssh",
            "-F",
            "/dev/null",
            "-i",
            str(images.key()),
            "-p",
            str(self.port),
            *told,
            *options,
            LOGIN,
            command,
        ]


@dataclass(frozen=True)
class Guest:
    """A machine in qemu."""

    image: images.Image
    login: Login
    console: Path
    process: subprocess.Popen[bytes]

    def check_alive(self) -> None:
        """Raises GuestError."""
        if self.process.poll() is not None:
            raise GuestError("The guest has ended.")

    def wait_for_boot(self) -> None:
        """Until somebody can log in and systemd has started everything. Raises GuestError."""
        failure = f"The guest {self.image.suite} did not come up."
        try:
            wait_until(lambda: self.login.boot_id() != "" or self.process.poll() is not None, failure)
            if self.process.poll() is not None:
                raise GuestError(failure)
        except GuestError as error:
            raise GuestError(f"{error} Its console ends with:\n{_tail(self.console)}") from error
        self.login.wait_for_systemd()

    def power_off(self) -> None:
        if self.process.poll() is None:
            self.login.run("systemctl poweroff", stdout=subprocess.DEVNULL, check=False)
        try:
            self.process.wait(POWER_OFF_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def booted(image: images.Image, *, memory_mib: int = 3072) -> Iterator[Guest]:
    """On a throw-away copy of the image, with two empty disks more."""
    with tempfile.TemporaryDirectory(dir=images.CACHE, prefix="guest-") as name:
        folder, login = Path(name), Login(free_port())
        disks = [folder / f"{letter}.qcow2" for letter in "abc"]
        _qemu_img("-b", str(image.disk), "-F", "raw", str(disks[0]))
        for disk in disks[1:]:
            _qemu_img(str(disk), DATA_DISK)
        console = folder / "console.log"
        command = _qemu(image, disks, login.port, console, memory_mib)
        guest = Guest(image, login, console, subprocess.Popen(command, stdin=subprocess.DEVNULL))
        try:
            guest.wait_for_boot()
            yield guest
        finally:
            guest.power_off()


def wait_until(condition: Callable[[], bool], failure: str, timeout_s: float = BOOT_TIMEOUT_S) -> None:
    """Raises GuestError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise GuestError(failure)
        time.sleep(POLL_S)


def _qemu(image: images.Image, disks: list[Path], port: int, console: Path, memory_mib: int) -> list[str]:
    """With the processor's own virtualization where `GPULEASE_VM_ACCEL=kvm` says that there is a sound one.

    Without what emulation pays most for: mitigations (a fifth of what computes), a fifth level of page tables, a second
    processor (a third of what starts processes; and a kernel that patches its code under the feet of the other one has
    been seen to die of that at its boot).
    """
    accelerator = os.environ.get("GPULEASE_VM_ACCEL", "tcg,thread=multi,tb-size=512")
    drives = [word for disk in disks for word in ("-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe")]
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("qemu-system-x86_64", "-accel", accelerator, "-cpu", "max,la57=off", "-smp", "1", "-m", str(memory_mib)),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.show_status=0 mitigations=off"),
        *drives,
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net"),
        *("-device", "virtio-rng-pci", "-display", "none", "-monitor", "none", "-serial", f"file:{console}"),
    ]


def _qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *arguments], check=True)


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:] if path.exists() else ""


def quoted(words: list[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
