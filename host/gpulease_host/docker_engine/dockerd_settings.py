"""What a Docker Engine was told when it was started and does not say: its resolvers, and to leave the firewall alone.

Its API does not tell which process it is, so every dockerd in this network namespace is looked at; one in a container
is in another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

PROC = Path("/proc")
CONFIG_FILE = "/etc/docker/daemon.json"


@dataclass(frozen=True)
class DockerdSettings:
    dns: tuple[str, ...]
    sets_rules: bool


def running_dockerds(proc: Path = PROC) -> list[DockerdSettings]:
    return [_settings(arguments) for arguments in _command_lines(proc)]


def _command_lines(proc: Path) -> Iterator[list[str]]:
    ours = (proc / "self/ns/net").readlink()
    for process in proc.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (process / "comm").read_text().strip() == "dockerd" and (process / "ns/net").readlink() == ours:
                yield (process / "cmdline").read_text().split("\0")


def _settings(arguments: Sequence[str]) -> DockerdSettings:
    files = _values(arguments, "--config-file")
    config = _config(Path(files[-1] if files else CONFIG_FILE))
    told = _values(arguments, "--iptables")
    sets_rules = told[-1] not in ("false", "0") if told else config.get("iptables") is not False
    return DockerdSettings((*_values(arguments, "--dns"), *map(str, config.get("dns") or [])), sets_rules)


def _values(arguments: Sequence[str], option: str) -> list[str]:
    joined = [each.removeprefix(f"{option}=") for each in arguments if each.startswith(f"{option}=")]
    return joined + [value for name, value in pairwise(arguments) if name == option]


def _config(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
