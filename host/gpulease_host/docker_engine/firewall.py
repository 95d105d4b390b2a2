"""The network rules that hold for every tenant: to the internet, and nowhere else.

They match interfaces by the prefix of their names, so a new contract needs no new rule. Two chains of ours, filled in
one transaction each, hang first in INPUT (a container reaches its host there, and Docker's own chains do not see it),
in DOCKER-USER, which Docker leaves alone and puts before its own chains, and in FORWARD, for where there is no
DOCKER-USER or nothing leads to it at the moment. What they drop is dropped, whatever other firewalls allow.
"""

from __future__ import annotations

import fcntl
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gpulease_host.docker_engine.iptables import (
    DOCKER_USER,
    V4,
    V6,
    WAIT_S,
    Family,
    Run,
    other_variant,
    rules_of,
    run_program,
    variant_of_docker,
)
from gpulease_host.docker_engine.resolvers import nameservers
from gpulease_host.engine import EngineError

TENANTS = "gl-+"
INPUT_CHAIN = "GPULEASE-INPUT"
FORWARD_CHAIN = "GPULEASE-FORWARD"
HOOKS = {"INPUT": INPUT_CHAIN, DOCKER_USER: FORWARD_CHAIN, "FORWARD": FORWARD_CHAIN}
BUILT_IN = frozenset({"INPUT", "FORWARD"})
LOCK = Path("/run/gpulease-firewall.lock")
HOOK_TRIES = 10
HOOK_PAUSE_S = 0.1

CLOSED_V4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
CLOSED_V6 = (
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)


class FirewallError(EngineError):
    """Tenants cannot be kept apart, so none may start."""

    code = "firewall_refused"


Rules = Mapping[str, Sequence[str]]


class Firewall:
    def __init__(
        self, run: Run = run_program, resolvers: Callable[[], Sequence[str]] = nameservers, lock: Path = LOCK
    ) -> None:
        self._run = run
        self._lock = lock
        self._resolvers = resolvers
        self._in_force: dict[str, tuple[str, list[Sequence[str]]]] = {}

    def ensure(self) -> None:
        """Idempotent, and never a moment without the rules once they are there; one daemon at a time.

        Raises FirewallError.
        """
        try:
            with self._lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._ensure_both()
        except (OSError, ValueError) as error:
            raise FirewallError(f"the network rules could not be set: {error}") from error

    def _ensure_both(self) -> None:
        resolvers = self._resolvers()
        variant = variant_of_docker(self._run)
        wrote = False
        for family in (V4, V6):
            own = [address for address in resolvers if ipaddress.ip_address(address).version == family.version]
            wrote |= self._ensure(f"{family.program}{variant or ''}", chains(family, own))
        if wrote and variant is not None:
            self._leave(other_variant(self._run, variant))

    def _ensure(self, program: str, wanted: str) -> bool:
        """Rules that are as this left them are only read: a write would look like somebody's change.

        Whether the chains were written.
        """
        rules = self._rules(program)
        is_new = self._in_force.get(program) != (wanted, _filling(rules))
        if is_new:
            self._check([f"{program}-restore", "--noflush", "--wait", WAIT_S], wanted)
            rules = self._rules(program)
            if not all(_filling(rules)):
                raise FirewallError(f"the network rules were set, and {program}-save does not show them")
            self._in_force[program] = (wanted, _filling(rules))
        for chain in HOOKS:
            if (chain != DOCKER_USER or chain in rules) and not is_first(chain, rules):
                self._put_first(program, chain)
        return is_new

    def _put_first(self, program: str, chain: str) -> None:
        """Docker puts rules of its own first while it makes a network, so one look back proves nothing."""
        for _ in range(HOOK_TRIES):
            if self._hook(program, chain):
                return
            time.sleep(HOOK_PAUSE_S)
        raise FirewallError(f"the network rules were set, and {program}-save does not show them first in {chain}")

    def _hook(self, program: str, chain: str) -> bool:
        """Read back: one that cannot be seen is taken away again, for each check would add another."""
        self._check([program, "-w", WAIT_S, "-I", chain, "1", *jump(chain).split()], "")
        rules = self._rules(program)
        positions = [position for position, rule in enumerate(rules.get(chain, []), start=1) if rule == jump(chain)]
        for position in reversed(positions[1:]):
            self._run([program, "-w", WAIT_S, "-D", chain, str(position)], "")
        if not positions:
            self._run([program, "-w", WAIT_S, "-D", chain, *jump(chain).split()], "")
        return is_first(chain, rules)

    def _leave(self, variant: str | None) -> None:
        """What Docker used before: a drop there holds, too, and its exceptions are for resolvers of that time."""
        for family in (V4, V6) if variant is not None else ():
            program = f"{family.program}{variant}"
            rules = rules_of("filter", self._run, program) or {}
            if rules.keys() & {INPUT_CHAIN, FORWARD_CHAIN}:
                remove_rules(self._run, program)

    def _rules(self, program: str) -> Rules:
        """The table's own chains are always there; of a program that does not show them nothing is known."""
        rules = rules_of("filter", self._run, program) or {}
        if not rules.keys() >= BUILT_IN:
            raise FirewallError(f"the network rules could not be read: {program}-save does not show them")
        return rules

    def _check(self, command: Sequence[str], text: str) -> None:
        status, said = self._run(command, text)
        if status != 0:
            raise FirewallError(f"the network rules could not be set: {' '.join(command)}: {said.strip()}")


def remove_rules(run: Run, program: str) -> None:
    """Both chains, and every jump to them; what is not there is fine."""
    command = [program, "-w", WAIT_S]
    for hook, chain in HOOKS.items():
        _, listed = run([*command, "-S", hook], "")
        for jump_there in (line.split() for line in listed.splitlines() if line.endswith(f"-j {chain}")):
            run([*command, "-D", *jump_there[1:]], "")
    for chain in (INPUT_CHAIN, FORWARD_CHAIN):
        run([*command, "-F", chain], "")
        run([*command, "-X", chain], "")


def jump(chain: str) -> str:
    return f"-i {TENANTS} -j {HOOKS[chain]}"


def is_first(chain: str, rules: Rules) -> bool:
    """Before any rule that could let a tenant through. Docker puts DOCKER-USER, where ours is first, first again."""
    there = list(rules.get(chain, []))
    if chain == "FORWARD" and there[:1] == [f"-j {DOCKER_USER}"]:
        del there[0]
    return there[:1] == [jump(chain)]


def _filling(rules: Rules) -> list[Sequence[str]]:
    return [rules.get(chain, []) for chain in (INPUT_CHAIN, FORWARD_CHAIN)]


def chains(family: Family, resolvers: Sequence[str]) -> str:
    """Both chains, as iptables-restore reads them. DNS is the exception: resolvers are often at private addresses."""
    dns = [f"-d {resolver} -p {protocol} --dport 53 -j" for resolver in resolvers for protocol in ("udp", "tcp")]
    # Not what a tenant opened itself, maybe while the rules were gone.
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j"
    closed = CLOSED_V4 if family is V4 else CLOSED_V6
    lines = ["*filter", f":{INPUT_CHAIN} - [0:0]", f":{FORWARD_CHAIN} - [0:0]"]
    lines += [f"-A {INPUT_CHAIN} {rule} ACCEPT" for rule in [answers, *dns]]
    lines += [f"-A {INPUT_CHAIN} -j DROP"]
    # Two instances of one contract talk across their own bridge, which routes nothing.
    lines += [f"-A {FORWARD_CHAIN} {rule} RETURN" for rule in [answers, "-m physdev --physdev-is-bridged -j", *dns]]
    lines += [f"-A {FORWARD_CHAIN} -o {TENANTS} -j DROP"]
    lines += [f"-A {FORWARD_CHAIN} -d {each} -j DROP" for each in closed]
    return "\n".join([*lines, "COMMIT", ""])
