"""Our rules among those of others: Docker's, and of firewalls that put themselves first or wipe everything.

Real programs in a network namespace of the test's own; no Docker is needed.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpulease_host.docker_engine import firewall_checks, iptables, leftovers
from gpulease_host.docker_engine.dockerd_settings import DockerdSettings
from gpulease_host.docker_engine.firewall import HOOKS, Firewall, FirewallError, chains, is_first, jump
from gpulease_host.docker_engine.iptables import V4
from gpulease_host.docker_engine.pacing import Paced
from gpulease_host.docker_engine.ruleset_changes import RulesetChanges
from gpulease_host.readiness import MAX_SENTENCE
from tests.host.docker_engine.bench import run_program, wait_until

pytestmark = pytest.mark.docker

HERE = f"glfw{os.getpid()}"
TENANT = f"glft{os.getpid()}"
POOL = ipaddress.IPv4Network("10.213.0.0/16")
PORT = 8098
# What Docker has in its chains, as far as it matters here.
DOCKERS = (
    "-t nat -N DOCKER",
    "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-N DOCKER-USER",
    "-N DOCKER-FORWARD",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -j DOCKER-FORWARD",
)


@dataclass
class Namespace:
    """Runs programs in it and keeps what it ran."""

    name: str
    ran: list[Sequence[str]] = field(default_factory=list)

    def run(self, command: Sequence[str], text: str) -> tuple[int, str]:
        self.ran.append(command)
        return iptables.run_program(["ip", "netns", "exec", self.name, *command], text)

    def do(self, *lines: str, program: str = "iptables") -> None:
        for line in lines:
            status, said = self.run([program, *line.split()], "")
            assert status == 0, f"{line}: {said}"

    def writes(self) -> list[Sequence[str]]:
        return [command for command in self.ran if "-restore" in command[0] or {"-I", "-D"} & {*command}]


@pytest.fixture
def here() -> Iterator[Namespace]:
    run_program("ip", "netns", "add", HERE)
    yield Namespace(HERE)
    run_program("ip", "netns", "delete", HERE)


@pytest.fixture
def firewall(here: Namespace, tmp_path: Path) -> Firewall:
    return Firewall(here.run, lambda: ["10.0.0.2"], tmp_path / "lock")


def are_first(here: Namespace, program: str = "iptables") -> bool:
    rules = iptables.rules_of("filter", here.run, program)
    assert rules is not None
    hooks = [chain for chain in HOOKS if chain in rules]
    once = all(rules[chain].count(jump(chain)) == 1 for chain in hooks)
    return once and all(is_first(chain, rules) for chain in hooks)


def test_the_rules_are_first_with_and_without_docker(here: Namespace, firewall: Firewall) -> None:
    firewall.ensure()
    assert are_first(here)
    here.do(*DOCKERS)
    firewall.ensure()
    assert are_first(here)
    assert are_first(here, "ip6tables")


@pytest.mark.parametrize("chain", ["INPUT", "FORWARD", "DOCKER-USER"])
def test_the_rules_are_first_again_after_another_firewall_put_its_own_there(
    here: Namespace, firewall: Firewall, chain: str
) -> None:
    here.do(*DOCKERS)
    firewall.ensure()
    here.do(f"-I {chain} 1 -j ACCEPT")
    assert not are_first(here)
    firewall.ensure()
    assert are_first(here)


def test_docker_putting_its_chain_first_again_needs_no_change(here: Namespace, firewall: Firewall) -> None:
    here.do(*DOCKERS)
    firewall.ensure()
    here.do("-D FORWARD -j DOCKER-USER", "-I FORWARD 1 -j DOCKER-USER")
    assert are_first(here)


def test_rules_that_stand_are_only_read(here: Namespace, firewall: Firewall) -> None:
    """A write would look like a change by somebody, and be answered with another."""
    here.do(*DOCKERS)
    firewall.ensure()
    here.ran.clear()
    firewall.ensure()
    assert not here.writes()


@pytest.mark.parametrize("wipe", ["-F", "-F GPULEASE-INPUT", "-D GPULEASE-FORWARD 2", "-D INPUT 1"])
def test_rules_that_somebody_took_away_come_back(here: Namespace, firewall: Firewall, wipe: str) -> None:
    firewall.ensure()
    before = iptables.rules_of("filter", here.run, "iptables")
    here.do(wipe)
    firewall.ensure()
    assert iptables.rules_of("filter", here.run, "iptables") == before


def test_rules_in_both_variants_of_iptables_are_no_reason_to_write_again(here: Namespace, firewall: Firewall) -> None:
    here.do("-A INPUT -s 192.0.2.99 -j DROP", program="iptables-legacy")
    here.do(*DOCKERS)
    firewall.ensure()
    here.ran.clear()
    firewall.ensure()
    assert not here.writes()
    assert are_first(here)


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_the_rules_stand_in_the_variant_of_iptables_that_docker_uses(
    here: Namespace, firewall: Firewall, variant: str
) -> None:
    here.do(*DOCKERS, program=f"iptables-{variant}")
    firewall.ensure()
    assert are_first(here, f"iptables-{variant}")
    assert are_first(here, f"ip6tables-{variant}")
    assert firewall_checks.why_docker_sets_no_rules(here.run, {}) is None


@pytest.mark.parametrize(("former", "now"), [("nft", "legacy"), ("legacy", "nft")])
def test_when_docker_changes_the_variant_of_iptables_the_rules_move_with_it(
    here: Namespace, firewall: Firewall, former: str, now: str
) -> None:
    here.do("-A INPUT -s 192.0.2.99 -j ACCEPT", program=f"iptables-{former}")
    here.do(*DOCKERS, program=f"iptables-{former}")
    firewall.ensure()
    here.do(*DOCKERS, program=f"iptables-{now}")
    here.do("-t nat -F", "-t nat -X", program=f"iptables-{former}")
    firewall.ensure()
    for program in (f"iptables-{now}", f"ip6tables-{now}"):
        assert are_first(here, program)
        assert "GPULEASE" not in here.run([f"{program.replace(now, former)}-save"], "")[1]
    assert "192.0.2.99" in here.run([f"iptables-{former}-save"], "")[1], "what is not ours stays"
    here.ran.clear()
    firewall.ensure()
    assert not here.writes()


@pytest.mark.parametrize(
    "answer", [(1, "busy"), (0, ""), (0, "# an unknown extension"), (0, "*filter\n:INPUT ACCEPT [0:0]")]
)
def test_rules_that_cannot_be_read_are_no_reason_to_write_more(
    here: Namespace, tmp_path: Path, answer: tuple[int, str]
) -> None:
    is_readable = True

    def run(command: Sequence[str], text: str) -> tuple[int, str]:
        return here.run(command, text) if is_readable or "-save" not in command[0] else answer

    firewall = Firewall(run, list, tmp_path / "lock")
    firewall.ensure()
    before = iptables.rules_of("filter", here.run, "iptables")
    is_readable = False
    for _ in range(3):
        with pytest.raises(FirewallError, match="iptables-save"):
            firewall.ensure()
    assert iptables.rules_of("filter", here.run, "iptables") == before


def test_rules_that_docker_pushes_back_at_once_are_put_first_again(here: Namespace, tmp_path: Path) -> None:
    pushes = iter(range(3))

    def run(command: Sequence[str], text: str) -> tuple[int, str]:
        answer = here.run(command, text)
        if "-I" in command and "FORWARD" in command and next(pushes, None) is not None:
            here.do("-I FORWARD -o br-of-docker -j DOCKER")
        return answer

    here.do("-N DOCKER")
    Firewall(run, list, tmp_path / "lock").ensure()
    assert are_first(here)
    assert next(pushes, None) is None, "nothing was pushed back"


def test_a_jump_that_does_not_show_is_an_error_each_time_and_not_one_more(here: Namespace, tmp_path: Path) -> None:
    def run(command: Sequence[str], text: str) -> tuple[int, str]:
        status, said = here.run(command, text)
        return status, "\n".join(line for line in said.splitlines() if not line.startswith("-A INPUT "))

    firewall = Firewall(run, list, tmp_path / "lock")
    for _ in range(3):
        with pytest.raises(FirewallError, match="first in INPUT"):
            firewall.ensure()
    rules = iptables.rules_of("filter", here.run, "iptables") or {}
    assert rules["INPUT"].count(jump("INPUT")) <= 1


def test_with_the_last_host_the_rules_go_from_both_variants(
    here: Namespace, firewall: Firewall, tmp_path: Path
) -> None:
    here.do("-N DOCKER-USER", program="iptables-legacy")
    for program in ("iptables-nft", "iptables-legacy"):
        here.do(*DOCKERS[:2], program=program)
        firewall.ensure()
        here.do(*(["-t nat -F", "-t nat -X"]), program=program)
    status, said = here.run(["iptables-nft-restore", "--noflush"], chains(V4, []))
    assert status == 0, said
    leftovers.remove_all_rules(here.run, tmp_path / "lock")
    for program in ("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"):
        assert "GPULEASE" not in here.run([f"{program}-save"], "")[1], program


def test_a_connection_that_a_tenant_opened_before_the_rules_stood_ends_with_them(
    here: Namespace, firewall: Firewall
) -> None:
    run_program("ip", "netns", "add", TENANT)
    try:
        run_program("ip", "-n", HERE, "link", "add", "gl-t", "type", "veth", "peer", "name", "eth0", "netns", TENANT)
        for name, device, last in ((HERE, "gl-t", 1), (TENANT, "eth0", 2)):
            run_program("ip", "-n", name, "address", "add", f"10.213.0.{last}/28", "dev", device)
            run_program("ip", "-n", name, "link", "set", device, "up")
        with _echoing(HERE) as server, _calling(TENANT, "10.213.0.1") as tenant:
            assert _is_answered(tenant)
            firewall.ensure()
            assert not _is_answered(tenant)
            tenant.kill()
            server.kill()
        with _echoing(TENANT) as server, _calling(HERE, "10.213.0.2") as owner:
            assert _is_answered(owner), "what is asked of a tenant is answered"
            owner.kill()
            server.kill()
    finally:
        run_program("ip", "netns", "delete", TENANT)


def test_whoever_changes_rules_is_seen() -> None:
    changes = RulesetChanges()
    changes.seen()
    try:
        subprocess.run(["iptables-nft", "-w", "10", "-N", HERE], check=True)
        wait_until(changes.seen, 5)
    finally:
        subprocess.run(["iptables-nft", "-w", "10", "-X", HERE], check=True)
        changes.close()


def test_a_check_that_failed_is_due_again_before_anything_starts() -> None:
    done: list[str] = []

    def check() -> None:
        done.append("check")
        if len(done) == 2:
            raise iptables_error

    iptables_error = OSError("busy")
    changes = iter([False, True, False])
    paced = Paced(check, 60.0, lambda: next(changes))
    paced.first_time()
    paced.first_time()
    paced.in_time()
    assert len(done) == 1
    with pytest.raises(OSError, match="busy"):
        paced.in_time()
    paced.first_time()
    assert len(done) == 3


def test_docker_without_rules_is_told_from_one_whose_rules_are_gone(here: Namespace) -> None:
    def why(*, sets_rules: bool = True) -> str | None:
        return firewall_checks.why_docker_sets_no_rules(here.run, {}, lambda: [DockerdSettings((), sets_rules)])

    assert "was told to set no firewall rules" in str(why(sets_rules=False))
    assert "are gone" in str(why())
    here.do(*DOCKERS)
    assert why() is None
    here.do("-t nat -F")
    assert "are gone" in str(why()), "the chain is left, and nothing leads to it"


def test_a_routing_table_that_goes_before_the_contracts_networks_is_named(here: Namespace) -> None:
    here.do("link set lo up", "link add vpn0 type bridge", "link set vpn0 up", program="ip")
    assert firewall_checks.why_pool_is_routed_away(POOL, here.run) is None
    here.do("route add default dev vpn0 table 51", "route add 10.0.0.0/8 dev vpn0", program="ip")
    here.do("rule add lookup 51 priority 30000", program="ip")
    assert firewall_checks.why_pool_is_routed_away(POOL, here.run) is None, "a VPN for everything spares what is nearer"
    here.do("route add 10.0.0.0/8 dev vpn0 table 52", "rule add lookup 52 priority 5000", program="ip")
    assert "10.0.0.0/8 is routed to vpn0 by routing table 52" in str(
        firewall_checks.why_pool_is_routed_away(POOL, here.run)
    )
    assert firewall_checks.why_pool_is_taken(POOL, here.run) is None
    here.do("route add 10.213.0.0/16 dev vpn0 table 53", program="ip")
    assert "GPULEASE_ADDRESS_POOL" in str(firewall_checks.why_pool_is_taken(POOL, here.run))


def test_every_reason_is_a_sentence_with_what_to_do(tmp_path: Path) -> None:
    def nothing(command: Sequence[str], text: str) -> tuple[int, str]:
        return 127, f"no {command[0]} {text}"

    off = tmp_path / "ip_forward"
    off.write_text("0\n")
    nftables = {"FirewallBackend": {"Driver": "nftables"}}
    assert "apt-get install -y iptables" in str(firewall_checks.why_no_iptables(nothing))
    assert "firewall-backend" in str(firewall_checks.why_another_backend(nftables))
    assert firewall_checks.why_another_backend({"FirewallBackend": {"Driver": "iptables+firewalld"}}) is None
    assert "net.ipv4.ip_forward=1" in str(firewall_checks.why_nothing_is_forwarded(off))
    said = [check() for check in firewall_checks.firewall_checks(lambda: nftables, str(POOL), nothing)]
    named = [sentence for sentence in said if sentence is not None]
    assert [sentence.split(" ")[0] for sentence in named] == ["The", "Docker", "No"]
    assert all(len(sentence) < MAX_SENTENCE for sentence in named)


def test_bridges_that_firewalld_does_not_count_to_docker_are_named(tmp_path: Path) -> None:
    def firewalld(command: Sequence[str], text: str) -> tuple[int, str]:
        return (0, "docker0 gl-1\n") if "--list-interfaces" in command else (0, "running")

    for name in ("docker0", "gl-1", "eth0"):
        (tmp_path / name).mkdir()
    assert firewall_checks.why_firewalld_bars(firewalld, tmp_path) is None
    assert firewall_checks.why_firewalld_bars(lambda _command, _text: (252, "not running"), tmp_path) is None
    (tmp_path / "gl-2").mkdir()
    said = str(firewall_checks.why_firewalld_bars(firewalld, tmp_path))
    assert "gl-2" in said
    assert "systemctl restart docker" in said


ECHO = """
import socket
with socket.create_server(("0.0.0.0", %d)) as server:
    connection, _ = server.accept()
    while received := connection.recv(9):
        connection.sendall(received)
"""
CALL = """
import socket, sys
with socket.create_connection(("%s", %d), timeout=5) as connection:
    connection.settimeout(1)
    for line in sys.stdin:
        connection.sendall(b"x")
        try:
            print(connection.recv(9).decode(), flush=True)
        except OSError:
            print("nothing", flush=True)
"""


def _echoing(namespace: str) -> subprocess.Popen[str]:
    process = _python(namespace, ECHO % PORT)
    listening = ["ip", "netns", "exec", namespace, "busybox", "netstat", "-ltn"]
    wait_until(lambda: f":{PORT}" in run_program(*listening), 5)
    return process


def _calling(namespace: str, address: str) -> subprocess.Popen[str]:
    return _python(namespace, CALL % (address, PORT))


def _python(namespace: str, script: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-ESc", script]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _is_answered(caller: subprocess.Popen[str]) -> bool:
    assert caller.stdin is not None
    assert caller.stdout is not None
    caller.stdin.write("\n")
    caller.stdin.flush()
    return caller.stdout.readline().strip() == "x"
