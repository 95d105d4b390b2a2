"""What a tenant can reach: the internet and its own contract. Every address here is one of this machine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from gpulease_host.docker_engine.firewall import HOOKS, is_first, jump
from gpulease_host.docker_engine.iptables import rules_of, variant_of_docker
from gpulease_host.docker_engine.iptables import run_program as run_and_read
from gpulease_host.docker_engine.networks import network_name
from gpulease_host.docker_engine.routes import default_mtu, routes
from gpulease_host.engine import Order
from tests.host.docker_engine.bench import Bench, name_of, run_program, wait_until
from tests.host.docker_engine.surroundings import CLOSED, INTERNET, PORT, Outside, address_of, addresses_of_host

pytestmark = pytest.mark.docker


@pytest.fixture
def host_service() -> Iterator[int]:
    """Something that listens on every address of the host."""
    server = HTTPServer(("0.0.0.0", 0), SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_internet_is_open_and_private_ranges_are_not(bench: Bench, outside: Outside) -> None:
    order = bench.run("sleep", "600")
    assert _reaches_from_host(INTERNET)
    wait_until(lambda: _reaches(bench, order, f"{INTERNET}:{PORT}"), 5)
    for address in CLOSED:
        assert _reaches_from_host(address), "the rules close it, not the test's own machine"
        assert not _reaches(bench, order, f"{address}:{PORT}"), address


def test_no_address_of_the_host_is_reached(bench: Bench, host_service: int) -> None:
    order = bench.run("sleep", "600")
    for address in addresses_of_host():
        assert not _reaches(bench, order, f"{address}:{host_service}"), address


def test_another_contract_is_not_reached_and_another_instance_of_the_same_is(bench: Bench) -> None:
    first = bench.run("sleep", "600")
    second = bench.run("httpd", "-f", "-p", "80", "-h", "/etc", contract_id=first.contract_id, gpu=1)
    foreign = bench.run("httpd", "-f", "-p", "80", "-h", "/etc", gpu=2)
    wait_until(lambda: _reaches(bench, first, f"{address_of(bench, second)}:80"), 5)
    assert not _reaches(bench, first, f"{address_of(bench, foreign)}:80")


def test_each_contract_has_a_bridge_the_rules_know_and_no_ipv6(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    bridge = network_name(order.contract_id)
    assert Path("/sys/class/net", bridge).exists()
    assert len(bridge) <= 15
    assert "/28 " in run_program("ip", "-4", "-o", "address", "show", bridge)
    assert "eth0" not in bench.sh(order, "cat /proc/net/if_inet6")[1]


def test_the_rules_stand_once_and_first_however_often_they_are_set(bench: Bench) -> None:
    bench.run("sleep", "600")
    for _ in range(2):
        bench.engine.hold({})
    for program in (f"ip{version}tables{variant_of_docker(run_and_read)}" for version in ("", "6")):
        rules = rules_of("filter", run_and_read, program)
        assert rules is not None
        chains = [chain for chain in HOOKS if chain in rules]
        assert {"INPUT", "FORWARD"} <= {*chains}
        assert all(is_first(chain, rules) and rules[chain].count(jump(chain)) == 1 for chain in chains)


def test_a_contracts_network_takes_packets_as_large_as_docker_and_the_way_out(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    sizes = (int(Path("/sys/class/net/docker0/mtu").read_text()), default_mtu(routes()))
    assert bench.sh(order, "cat /sys/class/net/eth0/mtu")[1].strip() == str(min(filter(None, sizes)))


def test_a_network_pruned_while_stopped_is_made_again(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    bench.engine.stop(order.instance_id, grace_s=0)
    bench.client.remove_network(network_name(order.contract_id))
    bench.start(order, "sleep", "600")
    assert bench.seen(order).status == "running"


def test_many_contracts_at_once_get_ranges_of_their_own(bench: Bench) -> None:
    orders = [bench.order(gpu=index) for index in range(4)]
    threads = [threading.Thread(target=bench.start, args=(order, "sleep", "600")) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bench.seen(order).status for order in orders] == ["running"] * 4
    assert len({address_of(bench, order) for order in orders}) == 4


def _reaches(bench: Bench, order: Order, target: str) -> bool:
    return bench.sh(order, f"wget -q -T 1 -O /dev/null http://{target}/hostname")[0] == 0 or _answers(
        bench, order, target
    )


def _answers(bench: Bench, order: Order, target: str) -> bool:
    """Any TCP connection counts, whatever the service says."""
    address, _, port = target.partition(":")
    return bench.sh(order, f"nc -w 1 {address} {port} < /dev/null")[0] == 0


def _reaches_from_host(address: str) -> bool:
    done = subprocess.run(["busybox", "nc", "-w", "2", address, str(PORT)], stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def test_what_a_start_that_broke_off_left_is_removed_with_the_host(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    name = network_name(order.contract_id)
    bench.client.remove_container(name_of(order), force=True)
    assert bench.client.networks(names=[name])
    bench.engine.remove_networks()
    bench.engine.remove_networks()
    assert not bench.client.networks(names=[name])
