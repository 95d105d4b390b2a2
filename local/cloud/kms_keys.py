"""KMS keys that outlive the emulator: what was signed with one must still be what it was after a restart.

Every start is a fresh emulator, which would make each key of the templates anew. Here they stand by stack and logical
id, material and all, in a file that only its owner reads.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from local.cloud import emulator
from local.cloud.emulator import KmsKey
from local.cloud.settings import write_secret


class KmsKeys:
    """Keeps each key as it was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def find(self, name: str) -> KmsKey | None:
        """The key of this name, from this start or one before."""
        return self._read().get(name)

    def keep(self, name: str, key: KmsKey) -> None:
        """It is on disk when this returns, so nothing is signed with a key that could be lost."""
        with self._lock:
            write_secret(self._path, json.dumps(self._read() | {name: key}, indent=2))

    def _read(self) -> dict[str, KmsKey]:
        if not self._path.exists():
            return {}
        found: dict[str, KmsKey] = json.loads(self._path.read_text())
        return found


def register(keys: KmsKeys) -> None:
    """Let templates have their keys back."""
    emulator.restore_kms_keys(keys.find, keys.keep)
