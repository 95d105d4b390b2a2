"""Images as clients bring them, made on this machine: each has something that a naive injection would trip over."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from local.dockerd_packages import ROOT_PATH
from local.toolkits import TOOLKITS

DEBIAN_TARBALL = TOOLKITS.parent / "images" / "debian-bookworm.tar"
DEBIAN_PACKAGES = "bash,python3-minimal,python3,openssh-server"
HELLO_MUSL = '#include <stdio.h>\nint main(void) { puts("linked with musl"); return 0; }\n'


class Tree:
    """A root file system in memory, as a tar for `docker import`."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w")

    def folder(self, name: str, mode: int = 0o755, uid: int = 0) -> Tree:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, mode, uid
        self._tar.addfile(entry)
        return self

    def file(self, name: str, content: bytes | str, mode: int = 0o644) -> Tree:
        body = content.encode() if isinstance(content, str) else content
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(body), mode
        self._tar.addfile(entry, io.BytesIO(body))
        return self

    def link(self, name: str, to: str) -> Tree:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        self._tar.addfile(entry)
        return self

    def content(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def bare() -> Tree:
    """One busybox and nothing else: no /etc, no /root, no /tmp; the root folder is somebody's, and all may write."""
    tree = Tree().folder("./", 0o777, uid=1234).folder("bin")
    tree.file("bin/busybox", Path(_busybox()).read_bytes(), 0o755)
    for applet in ("sh", "cat", "echo", "ls", "id", "sleep", "env", "ps", "tty", "sha256sum"):
        tree.link(f"bin/{applet}", "busybox")
    return tree


def no_shell() -> Tree:
    """A program and its data, as from scratch: not even a shell."""
    return Tree().file("app", Path(_busybox()).read_bytes(), 0o755)


def musl() -> Tree:
    """Alpine's C library under its own name, with the variables and files that would lead glibc's programs astray."""
    tree = bare().folder("lib").folder("etc")
    tree.file("lib/libc.musl-x86_64.so.1", Path("/usr/lib/x86_64-linux-musl/libc.so").read_bytes(), 0o755)
    tree.link("lib/ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1")
    tree.file("bin/hello", _compiled_with_musl(), 0o755)
    tree.file("lib/libc.so.6", "not a C library\n").file("lib/libcrypto.so.3", "nor is this\n")
    tree.file("etc/ld.so.preload", "/lib/libc.so.6\n").file("etc/hosts.deny", "ALL: ALL\n")
    tree.file("etc/passwd", "root:x:0:0:root:/nowhere:/bin/false\n").file("etc/nologin", "closed\n")
    return tree


def debian() -> bytes:
    """A small Debian with bash, its own Python and its own sshd, from its package archive; kept for the next time."""
    if not DEBIAN_TARBALL.exists():
        DEBIAN_TARBALL.parent.mkdir(parents=True, exist_ok=True)
        beside = DEBIAN_TARBALL.with_suffix(".new.tar")
        command = ["debootstrap", "--variant=minbase", f"--include={DEBIAN_PACKAGES}", "bookworm", str(beside)]
        folder = beside.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        command[-1] = str(folder)
        environment = {**os.environ, "PATH": ROOT_PATH}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        subprocess.run(["tar", "-C", str(folder), "--exclude=./var/cache/apt/*", "-cf", str(beside), "."], check=True)
        shutil.rmtree(folder)
        beside.replace(DEBIAN_TARBALL)
    return DEBIAN_TARBALL.read_bytes()


def ensure(client: Any, tag: str, make: Callable[[], bytes], changes: Sequence[str] = ()) -> str:
    """Import it under this tag, once."""
    if not client.images(tag, quiet=True):
        repository, _, version = tag.partition(":")
        answer = client.import_image_from_data(make(), repository, version, changes=list(changes))
        assert "error" not in str(answer), answer
    return tag


def set_etc_immutable(pid: int, change: Literal["+i", "-i"]) -> None:
    """Whether nobody, not even root, can write the `/etc` that this process of a musl image sees."""
    etc = Path(f"/proc/{pid}/root/etc")
    own = [str(etc / name) for name in ("passwd", "ld.so.preload", "hosts.deny", "nologin")]
    subprocess.run(["chattr", change, *own, str(etc)], check=True)


def _busybox() -> str:
    found = shutil.which("busybox", path=ROOT_PATH)
    assert found is not None
    return found


def _compiled_with_musl() -> bytes:
    target = TOOLKITS.parent / "images" / "hello-musl"
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["musl-gcc", "-x", "c", "-", "-o", str(target), "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"]
    subprocess.run(command, input=HELLO_MUSL, text=True, check=True)
    return target.read_bytes()
