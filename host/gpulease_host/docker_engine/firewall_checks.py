"""What makes this machine's firewall and networks unfit for a host: checks for `readiness.Readiness`.

Tenants are kept apart in spite of any of it: our own rules need nothing of Docker's. What is looked for here is that
contracts reach the internet and are reached at their ports.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from gpulease_host.docker_engine.docker_api import Json
from gpulease_host.docker_engine.dockerd_settings import DockerdSettings, running_dockerds
from gpulease_host.docker_engine.iptables import V4, V6, Run, UnreadableError, rules_of, run_program, variant_of_docker
from gpulease_host.docker_engine.networks import PREFIX, NetworkPoolError, lowest_free
from gpulease_host.docker_engine.routes import DEVICES, MAIN_TABLES, RoutesError, networks_of, route_to, routes
from gpulease_host.readiness import Check

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
LEADING_TO_DOCKER = (("nat", "PREROUTING"), ("filter", "FORWARD"))
Dockerds = Callable[[], Iterable[DockerdSettings]]


def firewall_checks(info: Callable[[], Json], pool: str, run: Run = run_program) -> list[Check]:
    """`info` is what Docker says of itself, `pool` the range of contracts' networks."""
    network = ipaddress.IPv4Network(pool)
    return [
        partial(why_no_iptables, run),
        lambda: why_another_backend(info()),
        lambda: why_docker_sets_no_rules(run, info()),
        partial(why_firewalld_bars, run),
        why_nothing_is_forwarded,
        partial(why_pool_is_taken, network, run),
        partial(why_pool_is_routed_away, network, run),
    ]


def why_no_iptables(run: Run = run_program) -> str | None:
    programs = [f"{family.program}{end}" for family in (V4, V6) for end in ("", "-restore", "-save")]
    missing = [program for program in programs if run([program, "--version"], "")[0] != 0]
    if not missing:
        return None
    return f"The host has no {missing[0]} to keep tenants apart. As root, run: apt-get install -y iptables"


def why_another_backend(info: Json) -> str | None:
    driver = str((info.get("FirewallBackend") or {}).get("Driver", ""))
    if not driver.startswith("nftables"):
        return None
    return (
        'Docker sets its rules by nftables, which this host was never tried with: take "firewall-backend" out of '
        "/etc/docker/daemon.json and run, as root: systemctl restart docker"
    )


def why_docker_sets_no_rules(run: Run, info: Json, dockerds: Dockerds = running_dockerds) -> str | None:
    """It was told not to, or another firewall has wiped them: then no published port works, and no way out."""
    if why_another_backend(info) or why_no_iptables(run) or _leads_to_docker(run):
        return None
    if any(not dockerd.sets_rules for dockerd in dockerds()):
        return (
            'Docker was told to set no firewall rules: take "iptables": false out of /etc/docker/daemon.json (or the '
            "option out of its unit) and run, as root: systemctl restart docker"
        )
    return (
        "Docker's firewall rules are gone, probably since another firewall was loaded (nftables.service with `flush "
        "ruleset` does that), so containers have no way out. As root, run: systemctl restart docker"
    )


def why_firewalld_bars(run: Run, devices: Path = DEVICES) -> str | None:
    """It lets through what is in Docker's zone. Docker puts its bridges there if it found firewalld at its start."""
    if run(["firewall-cmd", "--state"], "")[0] != 0:
        return None
    status, listed = run(["firewall-cmd", "--zone=docker", "--list-interfaces"], "")
    bridges = {device.name for device in devices.iterdir() if device.name.startswith((PREFIX, "docker0"))}
    barred = sorted(bridges - {*(listed.split() if status == 0 else [])})
    if not barred:
        return None
    return (
        f"firewalld runs and does not count {barred[0]} to Docker's zone, so it lets nothing out of containers: it was "
        "started after Docker. As root, run: systemctl restart docker"
    )


def why_nothing_is_forwarded(forwarding: Path = FORWARDING) -> str | None:
    if forwarding.read_text().strip() != "0":
        return None
    return (
        "This machine forwards no packets, so containers reach nothing: set net.ipv4.ip_forward=1 in /etc/sysctl.d "
        "and run, as root: sysctl --system"
    )


def why_pool_is_taken(pool: ipaddress.IPv4Network, run: Run = run_program) -> str | None:
    try:
        lowest_free(pool, networks_of(routes(run)))
    except (NetworkPoolError, RoutesError) as error:
        return (
            f"No network can be made for a contract: {error} Free one, or set GPULEASE_ADDRESS_POOL to another range."
        )
    return None


def why_pool_is_routed_away(pool: ipaddress.IPv4Network, run: Run = run_program) -> str | None:
    """By a table that is asked before the main one, where the bridges' own routes stand, as VPNs set them up."""
    route = route_to(pool[-2], run)
    if route is None or route.is_default or route.table in MAIN_TABLES:
        return None
    return (
        f"{route.destination} is routed to {' '.join(route.devices) or 'nowhere'} by routing table {route.table}, "
        f"which goes before the networks of contracts in {pool}: set GPULEASE_ADDRESS_POOL to a range that is free."
    )


def _leads_to_docker(run: Run) -> bool:
    """Chains may be left and nothing lead to them. Raises UnreadableError."""
    variant = variant_of_docker(run)
    if variant is None:
        return False
    program = f"{V4.program}{variant}"
    tables = [(rules_of(table, run, program) or {}).get(chain) for table, chain in LEADING_TO_DOCKER]
    if None in tables:
        raise UnreadableError(f"The network rules cannot be read: {program}-save does not show them.")
    return all(any("-j DOCKER" in rule for rule in rules or []) for rules in tables)
