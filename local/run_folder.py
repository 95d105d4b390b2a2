"""Folders in /run, which every account may look into wherever the checkout lies, and which a reboot empties."""

from __future__ import annotations

import hashlib
from pathlib import Path

RUN = Path("/run")
DIGITS = 8


def run_folder(purpose: str, state: Path) -> Path:
    """That of one state folder alone. Short, because it holds sockets, whose paths are limited to 107 bytes."""
    return RUN / f"gpulease-{purpose}-{hashlib.sha256(str(state).encode()).hexdigest()[:DIGITS]}"
