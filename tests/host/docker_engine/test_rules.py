"""The engine's decisions that need no machine: names and ranges, network rules, what Docker is asked, what it said."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.docker_engine import DockerEngine, container_start, container_state, firewall, oom_records
from gpulease_host.docker_engine.container_config import Surroundings, container_config
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.event_stream import instance_changes
from gpulease_host.docker_engine.gpu_nodes import DeviceNode
from gpulease_host.docker_engine.networks import (
    ContractNetworks,
    NetworkPoolError,
    lowest_free,
    network_name,
    routed_networks,
)
from gpulease_host.docker_engine.ways_in import Launch, WaysIn
from gpulease_host.engine import EngineUnavailableError, Order, Port, PortTakenError, Secrets
from gpulease_host.inventory_simulated import SimulatedGpus
from gpulease_host.toolkit.store import ToolkitStore
from rental.domain.renting import MAX_INSTANCES
from tests.host.orders import order, uuid_of

WITH_TWO_GPUS = order(gpus=(0, 2))
SOME_SECRETS = Secrets(env={"A": "b", "LD_PRELOAD": "x"}, args=["sleep", "1"])
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


def test_routes_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    table = tmp_path / "route"
    header = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    rows = "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\ngl-1 0000D50A 00000000 0001 0 0 0 F0FFFFFF 0 0 0\n"
    table.write_text(header + rows)
    assert [str(route) for route in routed_networks(table)] == ["10.213.0.0/28"]


def test_dns_is_the_exception_to_what_is_closed() -> None:
    text = firewall.chains(firewall.V4, ["10.0.0.2"])
    lines = text.splitlines()
    dns = "-A GPULEASE-FORWARD -d 10.0.0.2 -p udp --dport 53 -j RETURN"
    assert lines.index(dns) < lines.index("-A GPULEASE-FORWARD -d 10.0.0.0/8 -j DROP")
    assert lines[-2] != "COMMIT"
    assert [line for line in lines if line.startswith("-A GPULEASE-INPUT")][-1] == "-A GPULEASE-INPUT -j DROP"


def test_resolvers_on_loopback_are_dockers_own_affair(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n")
    assert firewall.nameservers([file, tmp_path / "none"]) == ["10.0.0.2", "fe80::1"]


def test_without_the_rules_nothing_goes_on(tmp_path: Path) -> None:
    def refuse(command: Sequence[str], text: str) -> tuple[int, str]:
        return 1, f"no {command[0]} {len(text)}"

    with pytest.raises(firewall.FirewallError, match="iptables-restore"):
        firewall.Firewall(refuse, [], tmp_path / "lock").ensure()


def config_of(given: Order = WITH_TWO_GPUS, secrets: Secrets = SOME_SECRETS, **changes: Any) -> dict[str, Any]:
    surroundings = {
        "host_id": 7,
        "network": "gl-1",
        "cgroup_parent": "/gpulease",
        "cpu_shares": 256,
        "gpus_by_request": True,
        "size_option": {"size": "1"},
        "publish_address": "127.0.0.1",
    }
    return container_config(given, secrets, Surroundings(**{**surroundings, **changes}))


def test_the_ways_in_replace_what_the_image_says_of_its_first_process() -> None:
    launch = Launch(Path("/host/toolkit/current"), Path("/host/instances/11/inside"))
    config, plain = config_of(launch=launch), config_of()
    assert config["Entrypoint"] == ["/.gl/bin/busybox", "sh", "/.gl/inside/init.sh"]
    assert (config["Cmd"], config["User"], config["StopSignal"]) == ([], "0:0", "SIGTERM")
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    mounts = {each["Target"]: (each["Source"], each["ReadOnly"]) for each in config["HostConfig"]["Mounts"]}
    assert mounts == {
        "/.gl": ("/host/toolkit/current", True),
        "/.gl-own": ("/host/instances/11/inside", True),
    }
    for name in ("CapDrop", "CapAdd", "SecurityOpt"):
        assert config["HostConfig"][name] == plain["HostConfig"][name]
    assert "Mounts" not in plain["HostConfig"]
    assert plain["Cmd"] == ["sleep", "1"]


def test_ports_are_published_on_one_address_and_named_inside() -> None:
    ports = (Port(8080, "tcp", 40001), Port(53, "udp", 40002), Port(9000, "tcp", None))
    config = config_of(replace(order(), ports=ports))
    assert config["ExposedPorts"] == {"8080/tcp": {}, "53/udp": {}}
    assert config["HostConfig"]["PortBindings"] == {
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "40002"}],
    }
    assert {"GPULEASE_TCP_PORT_8080=40001", "GPULEASE_UDP_PORT_53=40002"} < set(config["Env"])


IN_THE_WAY = "driver failed programming external connectivity on endpoint gpulease-11 (4f): "


@pytest.mark.parametrize(
    "said",
    [
        f"{IN_THE_WAY}Error starting userland proxy: listen tcp4 0.0.0.0:40001: bind: address already in use",
        f"{IN_THE_WAY}Bind for 0.0.0.0:40001 failed: port is already allocated",
        "failed to set up container networking: " + IN_THE_WAY + "failed to bind host port for 0.0.0.0:40001"
        ":10.213.0.2:8080/tcp: address already in use",
    ],
)
def test_a_port_in_use_is_named_whatever_docker_calls_it(said: str) -> None:
    given = replace(order(), ports=(Port(53, "udp", 40002), Port(8080, "tcp", 40001), Port(9000, "tcp", None)))
    error = container_start.explained(given, RefusedError(500, said))
    assert isinstance(error, PortTakenError)
    assert error.code == "port_taken"
    assert "Port 40001/tcp of the host is in use" in str(error)


def test_any_other_refusal_stays_what_docker_said() -> None:
    refusal = RefusedError(500, "OCI runtime create failed: no such file")
    given = replace(order(), ports=(Port(8080, "tcp", 40001),))
    assert container_start.explained(given, refusal) is refusal


def test_a_client_cannot_name_a_port_that_is_another() -> None:
    secrets = Secrets(env={"GPULEASE_TCP_PORT_8080": "1"})
    config = config_of(replace(order(), ports=(Port(8080, "tcp", 40001),)), secrets=secrets)
    assert [each for each in config["Env"] if each.startswith("GPULEASE_")] == ["GPULEASE_TCP_PORT_8080=40001"]


def test_gpus_are_requested_where_the_hook_is_and_only_named_where_it_is_not() -> None:
    uuids = [uuid_of(0), uuid_of(2)]
    assert config_of()["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == uuids
    assert config_of(gpus_by_request=False)["HostConfig"]["DeviceRequests"] is None
    for by_request in (True, False):
        assert config_of(gpus_by_request=by_request)["Env"] == ["A=b", f"NVIDIA_VISIBLE_DEVICES={','.join(uuids)}"]


def test_memory_has_no_swap_and_cpu_no_cap() -> None:
    asked = config_of()["HostConfig"]
    assert asked["Memory"] == asked["MemorySwap"]
    assert not {"CpuQuota", "NanoCpus", "CpusetCpus", "Privileged"} & asked.keys()


def inspected(status: str, code: int, *, flagged: bool) -> dict[str, Any]:
    names = ("contract", "instance", "generation", "token")
    labels = {f"gpulease.{name}": "1" for name in names} | {"gpulease.gpus": "0,3", "gpulease.gpu-uuids": "GPU-a,GPU-b"}
    state = {
        "Status": status,
        "ExitCode": code,
        "OOMKilled": flagged,
        "StartedAt": "2026-11-23T13:04:05.123456789Z",
        "Error": "",
    }
    return {"Id": "abc", "Config": {"Labels": labels}, "State": state}


@pytest.mark.parametrize(
    ("code", "flagged", "kernel", "oom"),
    [
        (137, True, True, True),
        (137, True, False, False),
        (137, True, None, True),
        (1, False, True, True),
        (0, True, True, False),
    ],
)
def test_who_ran_out_of_memory_is_the_kernels_word_before_dockers(
    code: int, flagged: bool, kernel: bool | None, oom: bool
) -> None:
    container = container_state.container_of(inspected("exited", code, flagged=flagged), lambda _id, _since: kernel, {})
    assert container.oom_killed is oom
    assert (container.exit_code, container.gpus, container.started_at) == (code, ("GPU-a", "GPU-b"), 1795439045)


def test_a_container_of_an_older_host_program_has_the_gpus_of_its_numbers() -> None:
    found = inspected("running", 0, flagged=False)
    del found["Config"]["Labels"]["gpulease.gpu-uuids"]
    container = container_state.container_of(found, lambda _id, _since: None, {0: "GPU-a", 1: "GPU-b"})
    assert container.gpus == ("GPU-a",), "number 3 is gone"


def test_a_container_is_labelled_with_the_uuids_of_its_gpus() -> None:
    assert config_of()["Labels"]["gpulease.gpu-uuids"] == f"{uuid_of(0)},{uuid_of(2)}"


def test_a_container_that_never_ran_has_neither_start_nor_exit() -> None:
    found = inspected("created", 127, flagged=False)
    found["State"] |= {"StartedAt": "0001-01-01T00:00:00Z", "Error": "no such program"}
    container = container_state.container_of(found, lambda _id, _since: None, {})
    assert (container.status, container.started_at, container.exit_code) == ("created", None, None)
    assert container.error == "no such program"


def test_the_kernels_log_names_victims_and_says_when(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    now_us = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
    log.write_text(
        f"6,900,{now_us},-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/t,task_memcg=/t/abc,task=dd,pid=9\n"
    )
    assert oom_records.was_killed("t/abc", time.time() - 5, log)
    assert not oom_records.was_killed("t/other", time.time() - 5, log)
    assert not oom_records.was_killed("t/abc", time.time() + 60, log), "an earlier life of the same container"
    assert oom_records.was_killed("t/abc", 0, tmp_path / "none") is None


class RestartingDocker(DockerApi):
    """Answers, breaks, is away, and answers again."""

    def __init__(self) -> None:
        self._calls = 0

    def list_containers(self, label: str, *, all_states: bool = True) -> list[dict[str, Any]]:
        self._calls += 1
        if self._calls == 2:
            raise EngineUnavailableError("away")
        return [{"Labels": {"gpulease.instance": str(self._calls)}}]

    def container_events(self, label: str, since: int) -> Iterator[dict[str, Any]]:
        attributes = {"gpulease.instance": "50"}
        yield {"Action": "exec_start: sh", "Actor": {"Attributes": attributes}}
        yield {"Action": "die", "Actor": {"Attributes": attributes}}
        raise EngineUnavailableError("closed")


def test_events_go_on_after_docker_was_away_and_then_name_everyone() -> None:
    pauses: list[float] = []
    assert list(islice(instance_changes(RestartingDocker(), 7, pauses.append), 4)) == [1, 50, 3, 50]
    assert len(pauses) == 2


class StoppingDocker(DockerApi):
    """Has one container, and says nothing of its being told to stop."""

    def __init__(self) -> None:
        self.runs, self.listens = True, True

    def list_containers(self, label: str, *, all_states: bool = True) -> list[dict[str, Any]]:
        return [{"Id": "abc"}]

    def inspect_container(self, name: str) -> dict[str, Any] | None:
        found = inspected("running" if self.runs else "exited", 0, flagged=False)
        found["State"]["Running"] = self.runs
        return found

    def info(self) -> dict[str, Any]:
        return {"CgroupDriver": "cgroupfs"}

    def check_listening(self) -> None:
        if not self.listens:
            raise EngineUnavailableError("refused")


def test_an_end_is_believed_only_from_a_docker_that_goes_on(tmp_path: Path) -> None:
    ways_in = WaysIn(tmp_path, ToolkitStore(tmp_path))
    docker, engine = StoppingDocker(), DockerEngine("unix:///none", 7, SimulatedGpus(1, "seed"), ways_in)
    engine._api = engine._machine._api = docker
    assert [each.status for each in engine.containers()] == ["running"]
    docker.runs = docker.listens = False
    for _ in range(2):
        with pytest.raises(EngineUnavailableError):
            engine.containers()
    docker.listens = True
    assert [each.status for each in engine.containers()] == ["exited"]


class NetworkDocker(DockerApi):
    """Knows one network, with an endpoint of a container that is gone."""

    def __init__(self) -> None:
        self.made: list[Mapping[str, Any]] = []
        self.endpoints = ["gpulease-5"]
        self.removed: list[str] = []

    def list_containers(self, label: str, *, all_states: bool = True) -> list[dict[str, Any]]:
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


def test_a_weight_that_systemd_keeps_is_not_a_conversion_of_shares() -> None:
    asked = config_of(cpu_shares=None, systemd_cpu_weight=250)["HostConfig"]
    assert asked["CpuShares"] == 0, "Docker's word for none"
    assert asked["Annotations"] == {"org.systemd.property.CPUWeight": "uint64 250"}
    assert config_of()["HostConfig"]["Annotations"] == {}


def test_device_nodes_are_given_to_be_read_and_written_only() -> None:
    asked = config_of(device_nodes=[DeviceNode("/run/gpulease/gpus/GPU-a", "/dev/nvidia2")])["HostConfig"]
    assert asked["Devices"] == [
        {"PathOnHost": "/run/gpulease/gpus/GPU-a", "PathInContainer": "/dev/nvidia2", "CgroupPermissions": "rw"}
    ]
    assert config_of()["HostConfig"]["Devices"] == []
