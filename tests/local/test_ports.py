"""Ports that the local set-up takes are nobody's, and no connection is ever given one."""

from __future__ import annotations

import socket
from pathlib import Path

from local.ports import OURS, TENANTS, free_port, free_range, is_free
from local.proxies import BENCH_NUMBERS, DEMO_NUMBERS, NUMBERS, TEST_NUMBERS

ALL = (OURS, TENANTS, NUMBERS, DEMO_NUMBERS, BENCH_NUMBERS, TEST_NUMBERS)


def test_linux_gives_none_of_them_to_a_connection() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(each[-1] for each in ALL) < lowest


def test_what_different_sites_and_servers_take_is_not_the_same() -> None:
    ports = [port for each in ALL for port in each]
    assert len(ports) == len(set(ports))


def test_a_port_that_is_taken_at_any_address_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
    assert free_range(3) in TENANTS
