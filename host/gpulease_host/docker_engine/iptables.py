"""The programs that read and write the kernel's packet rules, and which of their two variants Docker uses.

A machine can have both: `iptables` leads to one of them, and rules stand in whichever set them. Ours stand where
Docker's do, because a chain of the other variant cannot hang in DOCKER-USER.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpulease_host.engine import EngineError

WAIT_S = "10"
DOCKER_USER = "DOCKER-USER"
NFT, LEGACY = "-nft", "-legacy"
LEGACY_TABLES = "/proc/net/ip_tables_names"
PROGRAM_TIMEOUT_S = 30.0
"""Longer than they wait for each other (WAIT_S)."""

BUSY, TIMED_OUT = 4, 124
"""Of iptables, when another one has been writing for WAIT_S; ours. Both say nothing of what there is."""

# Runs a program with its standard input and answers its exit status and what it said.
Run = Callable[[Sequence[str], str], tuple[int, str]]


class UnreadableError(EngineError):
    """Which rules there are is not known."""

    code = "rules_unreadable"


@dataclass(frozen=True)
class Family:
    """One IP version and its program."""

    program: str
    version: int


V4 = Family("iptables", 4)
V6 = Family("ip6tables", 6)


def run_program(command: Sequence[str], text: str) -> tuple[int, str]:
    """What it printed; what it complained of only where it failed, for iptables warns once both variants are used.

    That it cannot be run, or does not end, is a status too: as a shell says it.
    """
    environment = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        return 127, str(error)
    except OSError as error:
        return 126, str(error)
    except subprocess.TimeoutExpired:
        return TIMED_OUT, f"{command[0]} has not ended within {PROGRAM_TIMEOUT_S:.0f} s"
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr + done.stdout


def variants_in_use(run: Run) -> list[str]:
    """What can follow `iptables` in the name of a program that may see rules. What it is by itself, is first.

    The legacy one is left out where it has set nothing: its look alone would make its tables, for good.
    """
    status, tables = run(["cat", LEGACY_TABLES], "")
    return ["", NFT, *([LEGACY] if status == 0 and tables.strip() else [])]


def variant_of_docker(run: Run) -> str | None:
    """None where no program sees any rule of Docker's. Raises UnreadableError."""
    sees = (variant for variant in variants_in_use(run) if _has_chain(run, f"{V4.program}{variant}", "DOCKER"))
    return next(sees, None)


def other_variant(run: Run, variant: str) -> str | None:
    """The one that `variant` is not; None where that may hold nothing, or is not known."""
    status, version = run([f"{V4.program}{variant}", "--version"], "")
    if status == 0 and "(legacy)" in version:
        return NFT
    return LEGACY if status == 0 and "(nf_tables)" in version and LEGACY in variants_in_use(run) else None


def _has_chain(run: Run, program: str, chain: str) -> bool:
    status, said = run([program, "-w", WAIT_S, "-t", "nat", "-S", chain], "")
    if status in (BUSY, TIMED_OUT):
        raise UnreadableError(f"The network rules cannot be read: {program}: {said.strip()}")
    return status == 0


def rules_of(table: str, run: Run, program: str) -> dict[str, list[str]] | None:
    """Every chain of the table with its rules in their order, without their `-A chain`; None where it is not read."""
    status, saved = run([f"{program}-save", "-t", table], "")
    if status != 0:
        return None
    found: dict[str, list[str]] = {}
    for line in saved.splitlines():
        name, _, rest = line.removeprefix(":").removeprefix("-A ").partition(" ")
        if line.startswith(":"):
            found.setdefault(name, [])
        elif line.startswith("-A "):
            found.setdefault(name, []).append(rest)
    return found
