"""What a Docker Engine was told when it was started and does not say: its resolvers, and to leave the firewall alone.

Its API does not tell which process it is, so every dockerd of root's in this network namespace is looked at. One in a
container is in another, and whatever a tenant calls a process, in whatever bytes, is nothing to go by.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

PROC = Path("/proc")
SIZE = re.compile(r"([0-9]{1,15})([kmg]?)i?b?")
UNITS = {"": 0, "k": 10, "m": 20, "g": 30}
CONFIG_FILE = "/etc/docker/daemon.json"


@dataclass(frozen=True)
class DockerdSettings:
    dns: tuple[str, ...]
    sets_rules: bool
    log_file_bytes: int | None = None
    """At which size a container's log is begun anew, where its owner has said so."""


def running_dockerds(proc: Path = PROC) -> list[DockerdSettings]:
    return [_settings(arguments) for arguments in _command_lines(proc)]


def _command_lines(proc: Path) -> Iterator[list[str]]:
    ours = (proc / "self/ns/net").readlink()
    for process in proc.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if _is_roots_dockerd(process) and (process / "ns/net").readlink() == ours:
                yield os.fsdecode((process / "cmdline").read_bytes()).split("\0")


def _is_roots_dockerd(process: Path) -> bool:
    """The kernel writes a name with a line break in it on one line, so no name makes up a line."""
    lines = (process / "status").read_bytes().split(b"\n")
    return b"Name:\tdockerd" in lines and any(line.split()[:2] == [b"Uid:", b"0"] for line in lines)


def _settings(arguments: Sequence[str]) -> DockerdSettings:
    files = _values(arguments, "--config-file")
    config = _config(Path(files[-1] if files else CONFIG_FILE))
    told = _values(arguments, "--iptables")
    sets_rules = told[-1] not in ("false", "0") if told else config.get("iptables") is not False
    dns = config.get("dns")
    asked = (*_values(arguments, "--dns"), *map(str, dns if isinstance(dns, list) else []))
    return DockerdSettings(asked, sets_rules, _log_file_bytes(arguments, config.get("log-opts")))


def _log_file_bytes(arguments: Sequence[str], config: Any) -> int | None:
    """Options of the command line come before the file's; Docker refuses both at once."""
    told = [value.partition("=")[2] for value in _values(arguments, "--log-opt") if value.startswith("max-size=")]
    told += [str(config["max-size"])] if isinstance(config, dict) and "max-size" in config else []
    found = SIZE.fullmatch(told[0].strip().lower()) if told else None
    return None if found is None else int(found[1]) << UNITS[found[2]]


def _values(arguments: Sequence[str], option: str) -> list[str]:
    joined = [each.removeprefix(f"{option}=") for each in arguments if each.startswith(f"{option}=")]
    return joined + [value for name, value in pairwise(arguments) if name == option]


def _config(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
