"""Published ports: open to whoever is outside, closed to other tenants, and never two on one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gpulease_host.engine import Order, Port, PortTakenError, Secrets
from local.ports import free_port
from tests.host.docker_engine.bench import Bench, name_of
from tests.host.docker_engine.knocking import Target, answering, serving
from tests.host.docker_engine.surroundings import METADATA, Outside, address_of, addresses_of_host, network_of

pytestmark = pytest.mark.docker
INSIDE_TCP, INSIDE_UDP = 8080, 5353
HERE: tuple[str, ...] = ()
"""What enters this machine's own network: nothing."""


def both(address: str, tcp: int, udp: int) -> set[Target]:
    return {("tcp", address, tcp), ("udp", address, udp)}


@pytest.fixture
def published() -> tuple[int, int]:
    return free_port(), free_port(socket.SOCK_DGRAM)


@pytest.fixture
def tenant(public_bench: Bench, published: tuple[int, int]) -> Order:
    tcp, udp = published
    return public_bench.run("sleep", "300", ports=(Port(INSIDE_TCP, "tcp", tcp), Port(INSIDE_UDP, "udp", udp)))


def test_a_published_port_answers_outside_and_no_other_contract(
    public_bench: Bench, tenant: Order, published: tuple[int, int], outside: Outside
) -> None:
    stranger = public_bench.run("sleep", "300", gpu=1)
    by_name = {target for address in addresses_of_host() for target in both(address, *published)}
    behind = both(address_of(public_bench, tenant), INSIDE_TCP, INSIDE_UDP)
    with serving(network_of(public_bench, tenant), INSIDE_TCP, INSIDE_UDP):
        seen_outside = both(outside.here, *published)
        assert answering(outside.into, seen_outside) == seen_outside
        seen_here = both("127.0.0.1", *published) | by_name
        assert answering(HERE, seen_here) == seen_here
        assert answering(network_of(public_bench, stranger), by_name | behind) == set()


def test_a_container_reaches_neither_what_the_host_serves_nor_a_clouds_metadata(
    public_bench: Bench, tenant: Order, outside: Outside
) -> None:
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    hosts = {target for address in addresses_of_host() for target in both(address, tcp, udp)}
    metadata = both(METADATA, 80, 80)
    with serving(HERE, tcp, udp), serving(outside.into, 80, 80):
        assert answering(HERE, hosts | metadata) == hosts | metadata, "the rules close it, not the test's own machine"
        assert answering(network_of(public_bench, tenant), hosts | metadata) == set()


def test_a_container_sees_no_file_of_the_agent(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the host role stand where the agent writes them, and the daemon reads them there."""
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_secret_access_key = planted-and-only-here\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    order = bench.run("sleep", "300")
    for path in (credentials, "/root/.aws", "/var/lib/amazon", "/etc/amazon", "/var/run/docker.sock"):
        assert bench.sh(order, f"ls -d {path}")[0] != 0, path
    assert "AWS" not in bench.sh(order, "env")[1]
    mounted = [line.split()[4] for line in bench.sh(order, "cat /proc/self/mountinfo")[1].splitlines()]
    files = {path for path in mounted if not path.startswith(("/proc", "/sys", "/dev"))}
    assert files == {"/", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}


def test_a_port_in_use_fails_the_start_by_its_name_and_once_it_is_free_the_same_container_starts(
    bench: Bench, published: tuple[int, int]
) -> None:
    tcp, udp = published
    order = bench.order(ports=(Port(INSIDE_UDP, "udp", udp), Port(INSIDE_TCP, "tcp", tcp)))
    with socket.create_server(("127.0.0.1", tcp)), pytest.raises(PortTakenError, match=f"Port {tcp}/tcp of the host"):
        bench.start(order, "sleep", "300")
    container_id = bench.docker_id(order)
    assert bench.seen(order).status == "created"
    bench.engine.start(order, Secrets(args=["sleep", "300"]))
    assert bench.docker_id(order) == container_id
    assert bench.seen(order).status == "running"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_of_another_contract_is_not_taken_away_from_it(bench: Bench, protocol: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    port = Port(INSIDE_TCP, "tcp" if protocol == "tcp" else "udp", free_port(kind))
    first = bench.run("sleep", "300", ports=(port,))
    second = bench.order(ports=(port,), gpu=1)
    with pytest.raises(PortTakenError, match=f"Port {port.host}/{protocol} of the host"):
        bench.start(second, "sleep", "300")
    assert bench.seen(first).status == "running"
    bindings = bench.client.inspect_container(name_of(first))["NetworkSettings"]["Ports"]
    assert bindings[f"{INSIDE_TCP}/{protocol}"][0]["HostPort"] == str(port.host)
