"""What this machine's sshd is made of and which of our options it has, on its own word and by no table of versions.

One program up to OpenSSH 9.7. From 9.8 on each connection runs `sshd-session`, from 10.0 on `sshd-auth` too, for who is
not let in yet. Options name both, so that they can be elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpulease_host.toolkit import layout, running
from gpulease_host.toolkit.errors import ToolkitError

PROGRAM_OPTIONS = {"sshd-session": "SshdSessionPath", "sshd-auth": "SshdAuthPath"}
PENALTIES = "PerSourcePenalties"


@dataclass(frozen=True)
class OpenSsh:
    sshd: Path
    started: Mapping[str, Path] = field(default_factory=dict)
    """The other programs that it starts, by the name that they have in the toolkit."""
    penalizes: bool = False
    """Whether it locks whole addresses out after failed logins, unless it is told not to."""

    @property
    def programs(self) -> list[Path]:
        return [self.sshd, *self.started.values()]

    def config(self) -> str:
        """What its configuration needs beside the lines that every sshd knows."""
        lines = [f"{PROGRAM_OPTIONS[name]} {layout.TOOLKIT}/bin/{name}" for name in self.started]
        if self.penalizes:
            # Behind a proxy or a published port all clients may have one address: the stranger who fails and the owner.
            lines.append(f"{PENALTIES} no")
        return "".join(f"{line}\n" for line in lines)


def find(sshd: Path) -> OpenSsh:
    """Raises ToolkitError where it starts a program whose place cannot be changed."""
    settings = _settings(sshd)
    named = {name: settings.get(option.lower()) for name, option in PROGRAM_OPTIONS.items()}
    started = {name: Path(path) for name, path in named.items() if path is not None}
    missing = [name for name in PROGRAM_OPTIONS if name not in started and _mentions(sshd, name)]
    if missing:
        option = PROGRAM_OPTIONS[missing[0]]
        raise ToolkitError(
            f"This machine's sshd starts {missing[0]} without an option {option}: no toolkit can move it."
        )
    return OpenSsh(sshd, started, PENALTIES.lower() in settings)


def _settings(sshd: Path) -> dict[str, str]:
    """Every option that it has, in small letters, with the default. None from one before 9.3, which cannot say them."""
    done = running.run([sshd, "-G", "-f", "/dev/null"])
    words = [line.partition(" ") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return {name.lower(): value for name, _, value in words}


def _mentions(sshd: Path, name: str) -> bool:
    return f"/{name}\0".encode() in sshd.read_bytes()
