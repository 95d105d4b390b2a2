"""Where an instance's own things are inside its container, and the way to its log."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

RUN = Path("/.gl-run")
OWN = Path("/.gl-own")
PROC = Path("/proc")


def say(text: str) -> None:
    with suppress(OSError):  # nobody may be there to hear it
        print(f"gpulease: {text}", file=sys.stderr, flush=True)
