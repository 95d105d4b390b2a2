"""The kernel's IPv4 routes, of all its tables: a VPN or another network keeps its own beside the main one."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.iptables import Run, run_program
from gpulease_host.engine import EngineError

MAIN_TABLES = ("main", "local", "default")
DEVICES = Path("/sys/class/net")


class RoutesError(EngineError):
    """Which addresses are in use is not known, so no network is made."""

    code = "routes_unreadable"


@dataclass(frozen=True)
class Route:
    destination: ipaddress.IPv4Network
    table: str
    devices: tuple[str, ...]

    @property
    def is_default(self) -> bool:
        return self.destination.prefixlen == 0


def routes(run: Run = run_program) -> list[Route]:
    """Raises RoutesError."""
    return [_route(each) for each in _told(["route", "show", "table", "all"], run)]


def route_to(address: ipaddress.IPv4Address, run: Run = run_program) -> Route | None:
    """The one by which a packet of this machine goes there; None: by none. Rules of policy routing have their say."""
    try:
        return _route(_told(["route", "get", "fibmatch", str(address)], run)[0])
    except (RoutesError, IndexError):
        return None


def networks_of(found: Iterable[Route]) -> list[ipaddress.IPv4Network]:
    """The ranges that are routed anywhere, default routes left out."""
    return [route.destination for route in found if not route.is_default]


def default_mtu(found: Iterable[Route], devices: Path = DEVICES) -> int | None:
    """Of the way out of this machine, where it has one. Raises RoutesError."""
    names = {name for route in found if route.is_default and route.table == "main" for name in route.devices}
    try:
        return min((int((devices / name / "mtu").read_text()) for name in names), default=None)
    except (OSError, ValueError) as error:
        raise RoutesError("The way out of this machine cannot be looked at.", str(error)) from error


def _told(arguments: list[str], run: Run) -> list[Mapping[str, Any]]:
    status, said = run(["ip", "-json", "-4", *arguments], "")
    if status != 0:
        remedy = " As root, run: apt-get install -y iproute2" if status == 127 else ""
        raise RoutesError(f"The routes of this machine could not be read by `ip`.{remedy}", said.strip())
    try:
        return list(json.loads(said or "[]"))
    except (ValueError, TypeError) as error:
        raise RoutesError("The routes of this machine cannot be read from what `ip` prints.", str(error)) from error


def _route(told: Mapping[str, Any]) -> Route:
    """Raises RoutesError."""
    try:
        return _read(told)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RoutesError("A route of this machine cannot be read from what `ip` prints.", repr(error)) from error


def _read(told: Mapping[str, Any]) -> Route:
    """`ip` names no table for the main one, and one next hop in the route itself."""
    hops = [told, *told.get("nexthops", [])]
    destination = "0.0.0.0/0" if told["dst"] == "default" else told["dst"]
    devices = tuple(str(hop["dev"]) for hop in hops if "dev" in hop)
    return Route(ipaddress.IPv4Network(destination, strict=False), str(told.get("table", "main")), devices)
