"""What is around a container: this machine's addresses, and another machine with addresses of every kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gpulease_host.docker_engine.networks import network_name
from gpulease_host.engine import Order
from tests.host.docker_engine.bench import Bench, name_of, run_program

PORT = 8099
INTERNET = "203.0.113.9"  # a documentation range, nobody's
METADATA = "169.254.169.254"
CLOSED = (METADATA, "10.99.99.9", "100.64.9.9", "172.31.9.9", "192.168.99.9")
NAMESPACE = f"gltest{os.getpid()}"
VETH = f"gt{os.getpid()}"


@dataclass(frozen=True)
class Outside:
    """`into` enters the other machine; `here` is what this one is called there."""

    into: tuple[str, ...]
    here: str


@contextmanager
def another_machine() -> Iterator[Outside]:
    """In a network namespace; it serves HTTP on all its addresses."""
    outside = Outside(("ip", "netns", "exec", NAMESPACE), "198.51.100.1")
    run_program("ip", "netns", "add", NAMESPACE)
    run_program("ip", "link", "add", VETH, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
    run_program("ip", "address", "add", f"{outside.here}/32", "dev", VETH)
    run_program("ip", "link", "set", VETH, "up")
    for command in (
        ("link", "set", "lo", "up"),
        ("link", "set", "eth0", "up"),
        ("route", "add", outside.here, "dev", "eth0"),
    ):
        run_program(*outside.into, "ip", *command)
    for address in (INTERNET, *CLOSED):
        run_program(*outside.into, "ip", "address", "add", f"{address}/32", "dev", "eth0")
        run_program("ip", "route", "add", f"{address}/32", "dev", VETH)
    run_program(*outside.into, "ip", "route", "add", "default", "via", outside.here)
    server = subprocess.Popen([*outside.into, "busybox", "httpd", "-f", "-p", str(PORT), "-h", "/etc"])
    yield outside
    server.terminate()
    server.wait()
    run_program("ip", "link", "delete", VETH)
    run_program("ip", "netns", "delete", NAMESPACE)


def addresses_of_host() -> list[str]:
    lines = run_program("ip", "-4", "-o", "address", "show", "scope", "global").splitlines()
    return [line.split()[3].partition("/")[0] for line in lines]


def address_of(bench: Bench, order: Order) -> str:
    networks = bench.client.inspect_container(name_of(order))["NetworkSettings"]["Networks"]
    return str(networks[network_name(order.contract_id)]["IPAddress"])


def network_of(bench: Bench, order: Order) -> tuple[str, ...]:
    """What enters the container's network: a program there sends and receives as the container does."""
    pid = bench.client.inspect_container(name_of(order))["State"]["Pid"]
    return ("nsenter", f"--net=/proc/{pid}/ns/net")
