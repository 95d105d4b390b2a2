"""What a local proxy reads, placed where its account may look: a checkout in root's home is closed to it.

Nothing here has to last. The site's own folder keeps the keys; this one is filled anew whenever the proxy is started
with something else, and goes with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import supervise
from local.sources import IGNORED_PARTS, fingerprint

SOURCES = ("proxy",)


@dataclass(frozen=True)
class ProxyFolder:
    """`account` owns what is secret, and may change nothing else."""

    path: Path
    account: str

    @property
    def code(self) -> Path:
        return self.path / "code"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    def settings(self) -> dict[str, str]:
        """Where the proxy finds what `fill` puts here."""
        return {
            "api_key_file": str(self.path / "api_key"),
            "state": str(self.path / "state"),
            "tls_certificate": str(self.path / "zone.crt"),
            "tls_key": str(self.path / "zone.key"),
        }

    def fill(self, settings: Mapping[str, Any], secrets: Mapping[str, bytes]) -> None:
        """Code, settings and secrets (by their path here), in place of whatever was there."""
        shutil.rmtree(self.path, ignore_errors=True)
        _make_folder(self.path)
        copy_code(self.code)
        self.config.write_text(_text(settings))
        self.config.chmod(0o644)
        folders = {(self.path / name).parent for name in secrets} - {self.path}
        for folder in folders:
            folder.mkdir(mode=0o700)
        for name, content in secrets.items():
            self._write_secret(self.path / name, content)
        for folder in folders:  # last: whoever owns it may put a link where root would write
            shutil.chown(folder, self.account)

    def _write_secret(self, path: Path, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchown(descriptor, pwd.getpwnam(self.account).pw_uid, -1)


def code_of(settings: Mapping[str, Any], secrets: Mapping[str, bytes]) -> str:
    """The fingerprint of a proxy that runs this checkout's code with these."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in secrets.items()}
    return fingerprint(supervise.ROOT, SOURCES, context=_text(settings) + _text(digests))


def copy_code(folder: Path) -> None:
    """This checkout's proxy, readable for everyone whatever umask and checkout say."""
    for name in SOURCES:
        shutil.copytree(supervise.ROOT / name, folder / name, ignore=shutil.ignore_patterns(*IGNORED_PARTS))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _make_folder(path: Path) -> None:
    for each in (path.parent, path):
        each.mkdir(exist_ok=True)
        each.chmod(0o755)


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"
