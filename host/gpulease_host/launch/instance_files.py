"""The files of one instance: those that its container sees, read-only, and those that only the host has.

    instances/<id>/inside/     mounted: host key, authorized keys, mode, onstart, token, certificate
    instances/<id>/probe_key   with which the host tries the way in; its line in the keys allows nothing

All of it is made once and kept over stops, starts and reboots, and goes with the container. A container sees a new
file at once, because the folder is mounted and not the file.
"""

from __future__ import annotations

import secrets as random_source
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gpulease_host.engine import Secrets
from gpulease_host.files import write_durably
from gpulease_host.launch import ssh_keys
from gpulease_host.launch.tls import TlsFiles
from gpulease_host.toolkit import layout

# sshd needs no password, no terminal and no forwarding to say that it is there.
PROBE_OPTIONS = f'restrict,command="{layout.BUSYBOX} true"'
TOKEN_BYTES = 32
KNOWN_AS = "instance"
"""The host that the line of `known_host` is for, wherever it is reached."""


@dataclass(frozen=True)
class InstanceFiles:
    folder: Path

    @property
    def inside(self) -> Path:
        """What is mounted."""
        return self.folder / "inside"

    @property
    def probe_key(self) -> Path:
        return self.folder / "probe_key"

    @property
    def known_host(self) -> Path:
        return self.folder / "known_host"

    @property
    def host_key(self) -> str | None:
        """Its public half, as OpenSSH writes it; None while there is none, also where making it broke off."""
        try:
            name, _, public = self.known_host.read_text().strip().partition(" ")
        except FileNotFoundError:
            return None
        return public if name == KNOWN_AS and (self.inside / layout.HOST_KEY_FILE).exists() else None

    def make_folders(self) -> None:
        for folder in (self.folder.parent, self.folder, self.inside):
            folder.mkdir(mode=0o700, exist_ok=True)

    def prepare(self, mode: str, secrets: Secrets, workdir: str, stop_grace_s: int | None = None) -> None:
        """Make what is missing and write what may have changed. Raises OSError and SshKeyError."""
        self.make_folders()
        self._make_keys()
        self._write(layout.MODE_FILE, mode)
        self._write(layout.FOLDER_FILE, workdir)
        self.set_ssh_keys(secrets.ssh_keys)
        if secrets.onstart is None:
            (self.inside / layout.ONSTART_FILE).unlink(missing_ok=True)
        else:
            self._write(layout.ONSTART_FILE, script_of(secrets.onstart))
        if stop_grace_s is not None:
            self._write(layout.STOP_GRACE_FILE, str(stop_grace_s))
        if mode == "jupyter":
            self._write(layout.TOKEN_FILE, secrets.jupyter_token or self.token or _new_token())

    def set_ssh_keys(self, keys: Iterable[str]) -> None:
        """Whoever came in by a key that is no longer among these is let out."""
        lines = [f"{PROBE_OPTIONS} {self._probe_public()}", *ssh_keys.checked(keys)]
        self._write(layout.KEYS_FILE, "\n".join(lines) + "\n")

    def set_tls(self, files: TlsFiles) -> None:
        """The key first: a connection between the two fails, and the next does not."""
        write_durably(self.inside / layout.TLS_KEY_FILE, files.key, 0o600)
        write_durably(self.inside / layout.CERTIFICATE_FILE, files.certificate, 0o600)

    @property
    def token(self) -> str | None:
        return self._read(layout.TOKEN_FILE)

    @property
    def certificate(self) -> str | None:
        return self._read(layout.CERTIFICATE_FILE)

    @property
    def tls(self) -> TlsFiles | None:
        certificate, key = self.certificate, self._read(layout.TLS_KEY_FILE)
        return None if certificate is None or key is None else TlsFiles(certificate.encode(), key.encode())

    def remove(self) -> None:
        """All that can be; raises OSError if anything is left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _make_keys(self) -> None:
        """The host's key last: it says that all are there."""
        host_key = self.inside / layout.HOST_KEY_FILE
        if host_key.exists():
            return
        probe, own = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        write_durably(self.probe_key, _openssh(probe), 0o600)
        write_durably(self.folder / "probe_key.pub", _openssh_public(probe), 0o600)
        write_durably(self.known_host, f"{KNOWN_AS} ".encode() + _openssh_public(own) + b"\n", 0o600)
        write_durably(host_key, _openssh(own), 0o600)

    def _probe_public(self) -> str:
        return (self.folder / "probe_key.pub").read_text().strip()

    def _write(self, name: str, text: str) -> None:
        path = self.inside / name
        if self._read(name) != text:
            write_durably(path, text.encode(), 0o600)

    def _read(self, name: str) -> str | None:
        try:
            return (self.inside / name).read_text()
        except FileNotFoundError:
            return None


def script_of(text: str) -> str:
    """With the line ends of Unix, whatever system it was typed on, and without the mark that editors put before it."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\r") + "\n"


def files_of(folder: Path, instance_id: int) -> InstanceFiles:
    """In the host's folder."""
    return InstanceFiles(folder / "instances" / str(instance_id))


def _new_token() -> str:
    return random_source.token_urlsafe(TOKEN_BYTES)


def _openssh(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _openssh_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
