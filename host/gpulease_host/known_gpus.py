"""The GPUs that were once seen on this host, kept in a file: a driver that does not answer names none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from gpulease_host.files import write_durably
from gpulease_host.inventory import Gpu


def read_known(path: Path) -> dict[str, Gpu]:
    """By UUID, in their order. What cannot be read is learned again from the driver."""
    try:
        body = json.loads(path.read_bytes())
        known = [Gpu(**{name: each[name] for name in Gpu.__dataclass_fields__}) for each in body["gpus"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {gpu.uuid: gpu for gpu in known}


def write_known(path: Path, gpus: Iterable[Gpu]) -> None:
    """A full disk keeps nothing from being looked at; the next change is written again."""
    body = {"v": 1, "gpus": [asdict(gpu) for gpu in gpus]}
    with suppress(OSError):
        write_durably(path, json.dumps(body, indent=2).encode() + b"\n", mode=0o600)
