"""What Docker says of itself, as its versions say it, and what that means for a host."""

from __future__ import annotations

from typing import Any

import pytest

from gpulease_host.docker_engine.docker_checks import docker_checks

SOUND: dict[str, Any] = {
    "ServerVersion": "20.10.24+dfsg1",
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Swarm": {"LocalNodeState": "inactive"},
    "MemoryLimit": True,
    "CPUShares": True,
    "PidsLimit": True,
    "CgroupVersion": "1",
}


def said(**changes: Any) -> list[str]:
    checks = docker_checks(lambda: SOUND | changes)
    return [sentence for check in checks if (sentence := check()) is not None]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "ServerVersion": "29.0.1",
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
        },
        {"ServerVersion": "dev", "Swarm": None},
        {"SecurityOptions": ["name=seccomp,profile=/etc/docker/seccomp.json"], "CgroupVersion": "2"},
        {"Swarm": {"LocalNodeState": ""}},
        {"Runtimes": {"runc": {"path": "runc"}, "nvidia": {}}, "DefaultRuntime": "nvidia"},
        {"SecurityOptions": ["name=seccomp,profile=unconfined"]},
    ],
)
def test_a_sound_docker_has_nothing_against_it(changes: dict[str, Any]) -> None:
    assert said(**changes) == []


@pytest.mark.parametrize(
    ("changes", "what", "deed"),
    [
        ({"ServerVersion": "19.03.15"}, "Docker 19.03.15 is too old", "install Docker Engine 20.10 or newer"),
        ({"ServerVersion": "20.09.0-ce"}, "too old", "install"),
        (
            {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]},
            "rootless",
            "run Docker Engine as root",
        ),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}, "userns-remap", "remove it from"),
        ({"SecurityOptions": None}, "cannot confine system calls", "take a kernel"),
        ({"Runtimes": {"crun": {}}}, "no runtime runc", "install runc"),
        ({"Swarm": {"LocalNodeState": "active"}}, "in a swarm", "docker swarm leave"),
        ({"Swarm": {"LocalNodeState": "locked"}}, "in a swarm", "docker swarm leave"),
        ({"CgroupVersion": "2", "CPUShares": False}, "control of cpu", "cgroup.subtree_control"),
        ({"CgroupVersion": "2", "PidsLimit": False, "MemoryLimit": False}, "memory, pids", "restart Docker"),
        ({"CgroupVersion": "1", "MemoryLimit": False}, "control of memory", "the kernel's command line"),
    ],
)
def test_each_fault_is_one_sentence_that_says_what_to_do(changes: dict[str, Any], what: str, deed: str) -> None:
    (sentence,) = said(**changes)
    assert what in sentence
    assert deed in sentence
    assert sentence.endswith(".")
    assert len(sentence) <= 300


def test_faults_are_told_one_by_one() -> None:
    assert len(said(ServerVersion="18.09", SecurityOptions=["name=rootless"])) == 3
