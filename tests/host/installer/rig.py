"""A machine of paper for the installer: the script itself, its folders moved into the test's, programs that note."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from infra.host_package import join_installer
from tests.host.installer import programs

API_URL = "https://api.example.com"
WHEEL = "gpulease_host-0.1.0+h{}-py3-none-any.whl"
JOINING = (
    *("--token", "77.secret", "--activation-id", "a-1", "--activation-code", "c-1"),
    *("--region", "eu-central-1"),
)
MOVED = (
    "/etc/systemd/",
    "/run/systemd/",
    "/usr/sbin/policy-rc.d",
    "/snap/bin/docker",
    "/var/lib/dpkg/updates",
    "/var/run/docker.sock",
)
DOCKER_INFO = '{"DockerRootDir":"/var/lib/docker","LiveRestoreEnabled":false,"SecurityOptions":["name=cgroupns"]}'


@dataclass(frozen=True)
class Done:
    status: int
    said: str
    calls: list[str]

    def called(self, beginning: str) -> list[str]:
        return [call for call in self.calls if call.startswith(beginning)]


class PaperMachine:
    """A fresh Debian with a GPU and systemd, and nothing else that a host needs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.facts = folder / "facts"
        self._programs = folder / "bin"
        self._calls = folder / "calls"
        for each in (self.root / "run/systemd/system", self.root / "usr/sbin", self.facts, self._programs):
            each.mkdir(parents=True)
        for tool in programs.REAL_TOOLS:
            (self._programs / tool).symlink_to(str(shutil.which(tool)))
        for name, body in (programs.ALWAYS | programs.GPU).items():
            self.add_program(name, body)
        self.fact("agent", programs.AGENT)
        self.fact("python", programs.PYTHON)
        self.fact("venv-python", programs.VENV_PYTHON)
        self.fact("gpulease-host", programs.GPULEASE_HOST)
        self.fact("missing-packages", "openssh-server\nopenssh-client\nbusybox-static\npatchelf\n")
        self.fact("uid", "0")
        self.fact("processor", "x86_64")
        self.fact("docker-info", DOCKER_INFO)
        self.fact("docker-containers", "[]")
        self.fact("usage", "gpulease-host leave [--lose-data]\n")
        self.fact("free-kib", str(50 << 20))
        for empty in ("docker-version", "on-hold", "packages", "would-go"):
            self.fact(empty)
        self.tell_time()
        self.serve("abc")

    def forget(self, name: str) -> None:
        (self.facts / name).unlink()

    def fact(self, name: str, text: str = "") -> None:
        (self.facts / name).write_text(text)

    def tell_time(self, ahead_s: float = 0) -> None:
        """What the service says that it is, so many seconds ahead of this machine."""
        self.fact("date", formatdate(time.time() + ahead_s, usegmt=True))

    def serve(self, version: str, sent: str | None = None) -> None:
        """The service hands out this package; `sent` is what arrives in its place."""
        self._package = f"the package {version}"
        self._file_name = WHEEL.format(version)
        self.fact("package", self._package if sent is None else sent)

    def add_program(self, name: str, body: str) -> None:
        path = self._programs / name
        path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>"$CALLS"\n{HAS}{body}\n')
        path.chmod(0o755)

    def remove_program(self, name: str) -> None:
        (self._programs / name).unlink()

    def run(self, *options: str, script: str | None = None, docker_host: str = "") -> Done:
        self._calls.write_text("")
        environment = {
            "PATH": str(self._programs),
            "CALLS": str(self._calls),
            "FACTS": str(self.facts),
            "ROOT": str(self.root),
            "PROGRAMS": str(self._programs),
            "REAL_PYTHON": sys.executable,
            "DOCKER_HOST": docker_host,
        }
        # As it is run: through a pipe, so that whatever reads standard input would read the script.
        command = [str(self._programs / "sh"), "-s", "--", *options]
        done = subprocess.run(
            command, input=script or self.script, env=environment, capture_output=True, text=True, check=False
        )
        return Done(done.returncode, done.stdout + done.stderr, self._calls.read_text().splitlines())

    @property
    def script(self) -> str:
        """As the service fills it in, but for its folders and for where else it looks for programs."""
        digest = hashlib.sha256(self._package.encode()).hexdigest()
        text = join_installer()
        for name, value in {"API_URL": API_URL, "PACKAGE": self._file_name, "PACKAGE_SHA256": digest}.items():
            text = text.replace(f"@{name}@", value)
        text = re.sub(r"^PATH=.*$", "", text, flags=re.MULTILINE).replace("=$PREFIX/", f"={self.root}$PREFIX/")
        for path in MOVED:
            text = text.replace(path, f"{self.root}{path}")
        return text

    def read(self, path: str) -> str:
        return (self.root / path).read_text()


# What apt-get and dpkg do here: from now on there is such a program.
HAS = """has() {
    printf '#!/bin/sh\\necho "${0##*/} $*" >>"$CALLS"\\n%s\\n' "$2" >"$PROGRAMS/$1"
    chmod 755 "$PROGRAMS/$1"
}
"""
