"""Container images for demo and tests, made from this machine's static busybox: nothing is pulled.

python -m local.images
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import docker
import docker.errors

from local.dockerd_packages import ROOT_PATH

BUSYBOX = "gpulease/busybox:1"
IMPORT_TIMEOUT_S = 120
DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var")
FILES: Mapping[str, str] = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


class ImageError(Exception):
    """The image could not be built; the message says why."""


def ensure(docker_host: str) -> None:
    """Every image of ours is there; building takes a second, finding it nothing."""
    client = docker.APIClient(base_url=docker_host, timeout=IMPORT_TIMEOUT_S)
    if not client.images(BUSYBOX, quiet=True):
        build(client, BUSYBOX, changes=['CMD ["sh"]'])


def remove(docker_host: str) -> None:
    """Unless a container of somebody else's has it; they may have none of it either."""
    client = docker.APIClient(base_url=docker_host, timeout=IMPORT_TIMEOUT_S)
    with suppress(docker.errors.NotFound, docker.errors.APIError):
        client.remove_image(BUSYBOX)


def build(
    client: docker.APIClient, tag: str, *, changes: Sequence[str] = (), files: Mapping[str, bytes] | None = None
) -> None:
    """Import busybox and more files under `tag`, with Dockerfile instructions such as `ENV` and `ENTRYPOINT` on top."""
    repository, _, version = tag.rpartition(":")
    path = f"ENV PATH={ROOT_PATH}"
    answer = client.import_image_from_data(_filesystem(files or {}), repository, version, changes=[path, *changes])
    if "error" in str(answer):
        raise ImageError(f"Docker did not import {tag}: {answer}")


def _filesystem(files: Mapping[str, bytes]) -> bytes:
    busybox = shutil.which("busybox", path=ROOT_PATH)
    if busybox is None:
        raise ImageError("busybox is missing: as root, apt-get install -y busybox-static")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in DIRECTORIES:
            _add_directory(tar, name)
        for name, text in FILES.items():
            _add_file(tar, name, text.encode(), 0o644)
        for name, content in files.items():
            _add_file(tar, name, content, 0o644)
        _add_file(tar, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        for applet in _applets(busybox):
            _add_link(tar, f"bin/{applet}")
    return buffer.getvalue()


def _applets(busybox: str) -> list[str]:
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return [applet for applet in listed.stdout.split() if applet != "busybox"]


def _add_directory(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = 0o1777 if name == "tmp" else 0o755
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _add_link(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, "/bin/busybox"
    tar.addfile(entry)


if __name__ == "__main__":
    ensure(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    print(f"image {BUSYBOX}: ready", file=sys.stdout)
