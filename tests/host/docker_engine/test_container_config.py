"""What Docker is asked to create for an order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gpulease_host.docker_engine.container_config import (
    SECCOMP_LABEL,
    WITH_PROFILE,
    Surroundings,
    container_config,
    has_profile,
)
from gpulease_host.docker_engine.gpu_nodes import DeviceNode
from gpulease_host.docker_engine.seccomp import security_option
from gpulease_host.docker_engine.ways_in import Launch
from gpulease_host.engine import Order, Port, Secrets
from tests.host.orders import order, uuid_of

WITH_TWO_GPUS = order(gpus=(0, 2))
SOME_SECRETS = Secrets(env={"A": "b", "LD_PRELOAD": "x"}, args=["sleep", "1"])


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
    assert config["Healthcheck"] == plain["Healthcheck"] == {"Test": ["NONE"]}
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


def test_gpus_are_requested_where_the_hook_is_and_only_named_where_it_is_not() -> None:
    uuids = [uuid_of(0), uuid_of(2)]
    assert config_of()["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == uuids
    assert config_of(gpus_by_request=False)["HostConfig"]["DeviceRequests"] is None
    for by_request in (True, False):
        assert config_of(gpus_by_request=by_request)["Env"] == ["A=b", f"NVIDIA_VISIBLE_DEVICES={','.join(uuids)}"]


def test_variables_of_the_image_that_the_hook_would_obey_are_taken_away_and_the_clients_stay() -> None:
    of_image = ["NVIDIA_DRIVER_CAPABILITIES=video", "LD_PRELOAD=/proc/self/cwd/x.so", "NVIDIA_IMEX_CHANNELS=0", "B=c"]
    secrets = Secrets(env={"NVIDIA_DRIVER_CAPABILITIES": "all"})
    asked = config_of(secrets=secrets, image_env=of_image)["Env"]
    assert {"NVIDIA_DRIVER_CAPABILITIES=all", "LD_PRELOAD", "NVIDIA_IMEX_CHANNELS"} < set(asked)
    assert len(asked) == 4


def test_a_client_sets_nothing_that_libc_obeys_on_the_host() -> None:
    asked = config_of(secrets=Secrets(env={"GCONV_PATH": "/x", "DOCKER_RESOURCE_GPU": "all", "TZ": "UTC"}))["Env"]
    assert [each.partition("=")[0] for each in asked] == ["TZ", "NVIDIA_VISIBLE_DEVICES"]


def test_memory_has_no_swap_and_cpu_no_cap() -> None:
    asked = config_of()["HostConfig"]
    assert asked["OomScoreAdj"] == 1000, "until it was looked at"
    assert asked["Memory"] == asked["MemorySwap"]
    assert not {"CpuQuota", "NanoCpus", "CpusetCpus", "Privileged"} & asked.keys()


def test_a_container_has_our_seccomp_profile_where_docker_takes_one() -> None:
    assert config_of()["HostConfig"]["SecurityOpt"] == ["no-new-privileges", security_option()]
    assert config_of(takes_seccomp=False)["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]


def test_no_label_of_an_image_says_that_its_container_has_the_profile() -> None:
    of_an_image = {SECCOMP_LABEL: WITH_PROFILE}
    assert has_profile({**of_an_image, **config_of()["Labels"]})
    assert not has_profile({**of_an_image, **config_of(takes_seccomp=False)["Labels"]})
    assert not has_profile({}), "a container made before there was one"


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


def test_a_client_may_ask_for_parts_of_the_driver_and_no_other_of_its_variables() -> None:
    asked = {"NVIDIA_DRIVER_CAPABILITIES": "all", "NVIDIA_VISIBLE_DEVICES": "all", "nvidia_driver_capabilities": "x"}
    config = config_of(secrets=Secrets(env=asked))
    named = [each for each in config["Env"] if each.upper().startswith("NVIDIA_")]
    assert named == ["NVIDIA_DRIVER_CAPABILITIES=all", f"NVIDIA_VISIBLE_DEVICES={uuid_of(0)},{uuid_of(2)}"]


def test_init_and_stop_grace_are_what_the_order_says() -> None:
    assert (config_of()["HostConfig"]["Init"], config_of()["StopTimeout"]) == (False, None)
    config = config_of(replace(order(gpus=(0, 2)), init=True, stop_grace_s=25))
    assert (config["HostConfig"]["Init"], config["StopTimeout"]) == (True, 25)


def test_a_client_cannot_name_a_port_that_is_another() -> None:
    secrets = Secrets(env={"GPULEASE_TCP_PORT_8080": "1"})
    config = config_of(replace(order(), ports=(Port(8080, "tcp", 40001),)), secrets=secrets)
    assert [each for each in config["Env"] if each.startswith("GPULEASE_")] == ["GPULEASE_TCP_PORT_8080=40001"]


def test_a_container_is_labelled_with_the_uuids_of_its_gpus() -> None:
    assert config_of()["Labels"]["gpulease.gpu-uuids"] == f"{uuid_of(0)},{uuid_of(2)}"


def test_logs_are_no_longer_than_the_owner_lets_dockers_be_and_no_longer_than_ours() -> None:
    ours = int(config_of()["HostConfig"]["LogConfig"]["Config"]["max-size"])
    sizes = [
        config_of(log_file_bytes=size)["HostConfig"]["LogConfig"]["Config"]["max-size"] for size in (1000, 1 << 40)
    ]
    assert sizes == ["1000", str(ours)]
