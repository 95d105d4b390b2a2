"""Programs of this machine, run to their end: whatever goes wrong with one is a ToolkitError."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpulease_host.toolkit.errors import ToolkitError

TIMEOUT_S = 300.0


def run(
    command: Sequence[str | Path], *, timeout_s: float = TIMEOUT_S, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Whether it succeeded is for the caller to see. Raises ToolkitError."""
    name = Path(command[0]).name
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolkitError(f"{name} did not end within {timeout_s:.0f} s.") from None
    except (OSError, ValueError) as error:
        raise ToolkitError(f"{name} could not be run: {error}") from error


def say(command: Sequence[str | Path]) -> str:
    """What it says. Raises ToolkitError, also when it fails, with its last line."""
    done = run(command)
    if done.returncode != 0:
        raise ToolkitError(f"{Path(command[0]).name} failed: {last_line(done)}")
    return done.stdout


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return ((done.stderr or done.stdout).strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
