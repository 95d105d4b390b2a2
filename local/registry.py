"""A registry of container images with a login, on loopback: what tests of private images pull from.

The program comes out of Debian's package without installing it: its service would listen on every address.

    python -m local.registry        fetch the program
"""

from __future__ import annotations

import ctypes
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import supervise
from local.dockerd_packages import ROOT_PATH
from local.ports import free_port

PACKAGE = "docker-registry"
PROGRAM = supervise.ROOT / ".local" / "registry" / PACKAGE
START_TIMEOUT_S = 20.0


class RegistryError(Exception):
    """There is no registry program, or it does not start; the message says what to do."""


@dataclass(frozen=True)
class Registry:
    """One that runs, with its files in `state`."""

    state: Path
    address: str

    @property
    def log(self) -> str:
        """What it was asked, a line each."""
        return (self.state / "registry.log").read_text(errors="replace")

    def stop(self) -> None:
        supervise.stop("registry", state=self.state)


def start(state: Path, passwords: Mapping[str, str]) -> Registry:
    """A registry that lets in only these users. Raises RegistryError."""
    state.mkdir(parents=True, exist_ok=True)
    users = state / "users"
    users.write_text("".join(f"{name}:{_bcrypt(password)}\n" for name, password in passwords.items()))
    address = f"127.0.0.1:{free_port()}"
    config = state / "config.json"  # it reads YAML, of which JSON is a part
    config.write_text(json.dumps(_config(state / "data", users, address)))
    supervise.start("registry", [str(ensure()), "serve", str(config)], state=state)
    registry = Registry(state, address)
    _wait_until_it_answers(registry)
    return registry


def ensure() -> Path:
    """The program, fetched on first use. Raises RegistryError."""
    installed = shutil.which(PACKAGE, path=ROOT_PATH)
    if installed is not None:
        return Path(installed)
    if not PROGRAM.exists():
        _fetch()
    return PROGRAM


def _bcrypt(password: str) -> str:
    """The one hash that the registry takes, at its lowest cost, from the system's library: Python has it no more."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    hashed: bytes | None = library.crypt(password.encode(), f"$2b$04${secrets.token_hex(11)}".encode())
    if hashed is None or not hashed.startswith(b"$2b$"):
        raise RegistryError("The system's libcrypt does not make bcrypt hashes.")
    return hashed.decode()


def _config(data: Path, users: Path, address: str) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(data)}},
        "http": {"addr": address, "secret": "of no use beyond this process"},
        "auth": {"htpasswd": {"realm": "images", "path": str(users)}},
    }


def _fetch() -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise RegistryError(f"The registry's program is missing: put {PACKAGE} on the PATH.")
    print(f"fetching {PACKAGE}, without installing it", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        download = ["apt-get", "-q", "download", PACKAGE]
        if subprocess.run(download, cwd=folder, capture_output=True, check=False).returncode != 0:
            subprocess.run(["apt-get", "-q", "update"], stdout=sys.stderr, check=False)
            subprocess.run(download, cwd=folder, stdout=sys.stderr, check=False)
        packages = list(Path(folder).glob("*.deb"))
        if not packages:
            raise RegistryError(f"The registry's program could not be had: `apt-get download {PACKAGE}` fails.")
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), folder], check=True)
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        draft = PROGRAM.with_suffix(".new")
        shutil.copy(Path(folder) / "usr/bin" / PACKAGE, draft)
        draft.rename(PROGRAM)


def _wait_until_it_answers(registry: Registry) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(f"http://{registry.address}/v2/", timeout=1).close()
        except urllib.error.HTTPError:
            return  # 401: it answers
        except OSError:
            if time.monotonic() > deadline:
                raise RegistryError(f"The registry does not start: {registry.log[-500:]}") from None
        time.sleep(0.05)


if __name__ == "__main__":
    try:
        print(f"registry: {ensure()}")
    except RegistryError as error:
        sys.exit(str(error))
