"""What is decided of networks and firewall without a machine: names, ranges, routes, resolvers, rules."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine import firewall, routes
from gpulease_host.docker_engine.docker_api import TIMEOUT_S, DockerApi, RefusedError
from gpulease_host.docker_engine.dockerd_settings import DockerdSettings, running_dockerds
from gpulease_host.docker_engine.iptables import V4
from gpulease_host.docker_engine.networks import (
    ContractNetworks,
    NetworkPoolError,
    lowest_free,
    network_name,
)
from gpulease_host.docker_engine.resolvers import nameservers
from rental.domain.renting import MAX_INSTANCES

POOL = ipaddress.IPv4Network("10.213.0.0/16")


def networks(*texts: str) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(text) for text in texts]


def test_the_longest_id_makes_a_name_linux_takes() -> None:
    assert network_name(2**53 - 1) == "gl-2gosa7pa2gv"
    assert len(network_name(2**53 - 1)) <= 15
    assert network_name(36) == "gl-10"


def test_a_contracts_network_has_an_address_for_each_instance_that_it_may_have() -> None:
    gateway_aside = len(list(lowest_free(POOL, []).hosts())) - 1
    assert gateway_aside == MAX_INSTANCES


def test_the_lowest_free_range_is_taken_also_between_others() -> None:
    assert str(lowest_free(POOL, [])) == "10.213.0.0/28"
    assert str(lowest_free(POOL, networks("10.213.0.0/28", "10.213.0.32/28"))) == "10.213.0.16/28"
    assert str(lowest_free(POOL, networks("10.213.0.0/24", "172.17.0.0/16"))) == "10.213.1.0/28"


def test_a_route_over_the_whole_pool_does_not_take_it_and_one_of_it_does() -> None:
    assert str(lowest_free(POOL, networks("10.0.0.0/8"))) == "10.213.0.0/28"
    with pytest.raises(NetworkPoolError):
        lowest_free(POOL, networks("10.213.0.0/16"))


ROUTES = """[
  {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": []},
  {"dst": "10.213.0.0/28", "dev": "gl-1", "protocol": "kernel", "flags": ["linkdown"]},
  {"dst": "default", "dev": "wg0", "table": "51820", "flags": []},
  {"dst": "10.8.0.0/24", "table": "52", "flags": [], "nexthops": [{"dev": "vpn0"}, {"dev": "vpn1"}]},
  {"type": "local", "dst": "10.9.0.7", "dev": "eth1", "table": "local", "flags": []},
  {"type": "unreachable", "dst": "10.7.0.0/16", "dev": "lo", "flags": []}
]"""


def test_routes_of_every_table_are_in_use_and_default_ones_are_not() -> None:
    found = routes.routes(lambda _command, _text: (0, ROUTES))
    assert [str(network) for network in routes.networks_of(found)] == [
        "10.213.0.0/28",
        "10.8.0.0/24",
        "10.9.0.7/32",
        "10.7.0.0/16",
    ]
    assert found[3].devices == ("vpn0", "vpn1")


def test_routes_that_cannot_be_read_are_no_routes_that_are_free() -> None:
    with pytest.raises(routes.RoutesError, match="apt-get install -y iproute2"):
        routes.routes(lambda _command, _text: (127, "no such program: ip"))


@pytest.mark.parametrize(
    ("of_docker", "way_out", "expected"), [(1400, 1500, 1400), (1500, 1450, 1450), (None, 0, None)]
)
def test_a_networks_packets_are_as_large_as_docker_and_the_way_out_take(
    tmp_path: Path, of_docker: int | None, way_out: int, expected: int | None
) -> None:
    docker = NetworkDocker()
    docker.mtu = of_docker
    told = routes.routes(lambda _command, _text: (0, ROUTES)) if way_out else []
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0/mtu").write_text(f"{way_out}\n")
    ContractNetworks(docker, 7, "10.214.0.0/16", tmp_path / "lock", lambda: told, tmp_path).ensure(1)
    size = docker.made[0]["Options"].get("com.docker.network.driver.mtu")
    assert size == (None if expected is None else str(expected))


def test_dns_is_the_exception_to_what_is_closed() -> None:
    text = firewall.chains(V4, ["10.0.0.2"])
    lines = text.splitlines()
    dns = "-A GPULEASE-FORWARD -d 10.0.0.2 -p udp --dport 53 -j RETURN"
    assert lines.index(dns) < lines.index("-A GPULEASE-FORWARD -d 10.0.0.0/8 -j DROP")
    assert lines[-2] != "COMMIT"
    assert [line for line in lines if line.startswith("-A GPULEASE-INPUT")][-1] == "-A GPULEASE-INPUT -j DROP"


def test_resolvers_on_loopback_are_dockers_own_affair(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n")
    assert nameservers([file, tmp_path / "none"], lambda: []) == ["10.0.0.2", "fe80::1"]
    assert nameservers([], lambda: [DockerdSettings(("10.0.0.3",), sets_rules=True)]) == ["10.0.0.3"]


def fake_process(proc: Path, pid: str, comm: str, namespace: str, *arguments: str, user: int = 0) -> None:
    """`comm` as the kernel writes it; with surrogates for what is no UTF-8."""
    folder = proc / pid
    (folder / "ns").mkdir(parents=True)
    (folder / "ns/net").symlink_to(namespace)
    (folder / "comm").write_bytes(os.fsencode(f"{comm}\n"))
    users = "\t".join([str(user)] * 4)
    (folder / "status").write_bytes(os.fsencode(f"Name:\t{comm}\nUmask:\t0022\nUid:\t{users}\n"))
    (folder / "cmdline").write_bytes(os.fsencode("\0".join([f"/usr/sbin/{comm}", *arguments, ""])))


def test_what_dockerd_was_told_is_read_of_those_in_this_network_alone(tmp_path: Path) -> None:
    config = tmp_path / "daemon.json"
    config.write_text('{"dns": ["10.0.0.3"], "iptables": false}')
    none = f"--config-file={tmp_path}/none"
    fake_process(tmp_path, "self", "python", "net:[1]")
    fake_process(tmp_path, "11", "dockerd", "net:[1]", "-H", "fd://", "--dns", "10.0.0.4", "--config-file", str(config))
    fake_process(tmp_path, "12", "dockerd", "net:[1]", none, "--dns=10.0.0.5", "--iptables=false")
    fake_process(tmp_path, "13", "dockerd", "net:[2]", none, "--dns=10.0.0.6")
    fake_process(tmp_path, "14", "dockerd", "net:[1]", none)
    told = {(each.dns, each.sets_rules) for each in running_dockerds(tmp_path)}
    assert told == {(("10.0.0.4", "10.0.0.3"), False), (("10.0.0.5",), False), ((), True)}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"log-opts": {"max-size": "512k", "max-file": "3"}}', 512 << 10),
        ('{"log-opts": {"max-size": "1g"}}', 1 << 30),
        ('{"log-opts": {"max-size": "-1"}}', None),
        ('{"log-opts": ["max-size=1k"]}', None),
        ("{}", None),
    ],
)
def test_how_long_logs_may_be_is_read_as_docker_reads_it(tmp_path: Path, written: str, told: int | None) -> None:
    config = tmp_path / "daemon.json"
    config.write_text(written)
    fake_process(tmp_path, "self", "python", "net:[1]")
    fake_process(tmp_path, "11", "dockerd", "net:[1]", "--config-file", str(config))
    assert [each.log_file_bytes for each in running_dockerds(tmp_path)] == [told]


def test_how_long_logs_may_be_is_read_of_an_option(tmp_path: Path) -> None:
    options = ("--log-opt", "max-file=1", "--log-opt=max-size=2m", f"--config-file={tmp_path}/none")
    fake_process(tmp_path, "self", "python", "net:[1]")
    fake_process(tmp_path, "11", "dockerd", "net:[1]", *options)
    assert [each.log_file_bytes for each in running_dockerds(tmp_path)] == [2 << 20]


def test_no_name_that_a_tenant_gives_a_process_counts(tmp_path: Path) -> None:
    told = ("--iptables=false", "--dns=10.0.0.1", f"--config-file={tmp_path}/none")
    fake_process(tmp_path, "self", "python", "net:[1]")
    fake_process(tmp_path, "11", "\udcff\udcfe", "net:[1]", *told)
    fake_process(tmp_path, "12", "dockerd", "net:[2]", *told)
    fake_process(tmp_path, "13", "dockerd", "net:[1]", *told, user=1000)
    fake_process(tmp_path, "14", r"dockerd\nUid:\t0", "net:[1]", *told, user=1000)
    (tmp_path / "15").mkdir()
    assert running_dockerds(tmp_path) == []
    assert nameservers([], lambda: running_dockerds(tmp_path)) == []
    fake_process(tmp_path, "16", "dockerd", "net:[1]", *told, "\udcff")
    assert [each.dns for each in running_dockerds(tmp_path)] == [("10.0.0.1",)]


def test_a_real_process_of_any_name_ends_no_look() -> None:
    """In the network of a container such as a tenant's, and called dockerd too."""
    script = "import ctypes, sys; ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1])); print(flush=True); input()"
    found = running_dockerds()
    for name in (b"\xff\xfe", b"dockerd"):
        command = [*(["unshare", "--net"] if os.geteuid() == 0 else []), sys.executable, "-ESc", script, name.hex()]
        told = ["--iptables=false", "--dns=10.255.255.1"]
        with subprocess.Popen([*command, *told], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert running_dockerds() == found
            process.kill()


def test_without_the_rules_nothing_goes_on(tmp_path: Path) -> None:
    def refuse(command: Sequence[str], text: str) -> tuple[int, str]:
        return 1, f"no {command[0]} {len(text)}"

    with pytest.raises(firewall.FirewallError, match="iptables-save"):
        firewall.Firewall(refuse, lambda: [], tmp_path / "lock").ensure()


class NetworkDocker(DockerApi):
    """Knows one network, with an endpoint of a container that is gone."""

    def __init__(self) -> None:
        self.made: list[Mapping[str, Any]] = []
        self.endpoints = ["gpulease-5"]
        self.removed: list[str] = []
        self.mtu: int | None = None

    def default_mtu(self) -> int | None:
        return self.mtu

    def list_containers(
        self, label: str, *, all_states: bool = True, timeout_s: float = TIMEOUT_S
    ) -> list[dict[str, Any]]:
        return []

    def create_network(self, body: Mapping[str, Any]) -> None:
        self.made.append(body)

    def members(self, network: str) -> list[str]:
        return list(self.endpoints)

    def disconnect(self, container: str, network: str) -> None:
        self.endpoints.remove(container)

    def remove_network(self, name: str) -> None:
        if self.endpoints:
            raise RefusedError(403, f"error while removing network: network {name} has active endpoints")
        self.removed.append(name)


def test_a_network_names_its_gateway_or_a_docker_killed_while_it_removes_one_never_starts_again(tmp_path: Path) -> None:
    docker = NetworkDocker()
    ContractNetworks(docker, 7, "10.213.0.0/16", tmp_path / "lock").ensure(1)
    (pool,) = docker.made[0]["IPAM"]["Config"]
    assert ipaddress.ip_address(pool["Gateway"]) in ipaddress.ip_network(pool["Subnet"])


def test_a_network_goes_although_docker_counts_a_container_on_it_that_is_gone(tmp_path: Path) -> None:
    docker = NetworkDocker()
    ContractNetworks(docker, 7, "10.213.0.0/16", tmp_path / "lock").remove_if_unused(1)
    assert docker.removed == ["gl-1"]
