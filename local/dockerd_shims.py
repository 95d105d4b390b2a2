"""Containers whose dockerd is dead: with live-restore they run on, and only the kernel knows their shims."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
SHIM = "containerd-shim"


def shims_of(run_dir: Path) -> Iterator[int]:
    """The processes that hold containers of the Docker Engine with this folder."""
    for entry in PROC.iterdir():
        try:
            arguments = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
        except (OSError, UnicodeDecodeError):
            continue
        if (
            arguments
            and Path(arguments[0]).name.startswith(SHIM)
            and any(_is_below(run_dir, each) for each in arguments)
        ):
            yield int(entry.name)


def end(run_dir: Path) -> None:
    """Kill the containers and their shims."""
    for shim in shims_of(run_dir):
        for pid in (*_children(shim), shim):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_below(folder: Path, argument: str) -> bool:
    return argument.startswith(f"{folder}/")


def _children(pid: int) -> list[int]:
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
