"""Packages, beside unattended upgrades, holds and other Dockers: what the installer waits for, and what it refuses."""

from __future__ import annotations

import pytest

from tests.host.installer.rig import DOCKER_INFO, JOINING, PaperMachine

APT_LOCK = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 71 (unattended-upgr)\n"
LISTS_LOCK = "E: Unable to lock directory /var/lib/apt/lists/\n"
DPKG_LOCK = "dpkg: error: dpkg frontend lock was locked by another process with pid 71\n"


def test_locks_of_apt_are_waited_for_and_named_once(machine: PaperMachine) -> None:
    machine.fact("lock-holders", LISTS_LOCK * 2 + APT_LOCK * 3)
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert done.said.count("Waiting until another program has installed its packages") == 1
    assert len(done.called("sleep")) == 5


def test_the_lock_of_dpkg_is_waited_for(machine: PaperMachine) -> None:
    machine.fact("dpkg-lock-holders", DPKG_LOCK * 2)
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert "locked by another process with pid 71" in done.said
    assert len(done.called("dpkg -i")) == 3


def test_a_lock_that_stays_is_not_waited_for_for_ever(machine: PaperMachine) -> None:
    machine.fact("lock-holders", APT_LOCK * 5000)
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "held by process 71" in done.said


def test_nothing_asks_and_nothing_is_restarted(machine: PaperMachine) -> None:
    assert "asks noninteractive 1 l" in machine.run(*JOINING).calls


def test_a_source_that_is_broken_does_not_end_it(machine: PaperMachine) -> None:
    machine.fact("broken-source")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert "apt-get could not read every source of packages" in done.said


def test_an_interrupted_dpkg_is_named(machine: PaperMachine) -> None:
    (machine.root / "var/lib/dpkg/updates").mkdir(parents=True)
    (machine.root / "var/lib/dpkg/updates/0001").touch()
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "Run dpkg --configure -a, and the same line again." in done.said


def test_packages_on_hold_are_named_when_an_installation_fails(machine: PaperMachine) -> None:
    machine.fact("on-hold", "patchelf\nlinux-image-amd64\n")
    machine.fact("apt-refuses")
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "Packages are on hold here: patchelf linux-image-amd64" in done.said


def test_what_was_brought_is_noted_and_nothing_that_was_there(machine: PaperMachine) -> None:
    machine.fact("packages", "ii libc6\nrc python3-venv\n")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    noted = machine.read("var/lib/gpulease/packages").split()
    assert noted[:4] == ["python3-venv", "docker.io", "iptables", "iproute2"]
    assert "libc6" not in noted


def test_what_others_bring_while_we_wait_is_theirs(machine: PaperMachine) -> None:
    machine.fact("lock-holders", APT_LOCK * 3)
    machine.fact("others-install", "ii docker.io\nii theirs\n")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    noted = machine.read("var/lib/gpulease/packages").split()
    assert not {"docker.io", "theirs", "by-others-meanwhile"} & set(noted)
    assert {"iptables", "amazon-ssm-agent"} <= set(noted)


@pytest.mark.parametrize(
    ("info", "version", "sentence"),
    [
        (DOCKER_INFO, '{"Components":[{"Name":"Podman Engine"}]}', "is Podman, which is not enough"),
        ('{"DockerRootDir":"/var/snap/docker/common/var-lib-docker"}', "", "Here Docker is a snap"),
        ('{"SecurityOptions":["name=seccomp,profile=builtin","name=rootless"]}', "", "is a rootless Docker"),
    ],
    ids=["podman", "snap", "rootless"],
)
def test_a_docker_that_a_host_cannot_use_is_refused(
    machine: PaperMachine, info: str, version: str, sentence: str
) -> None:
    machine.fact("docker-info", info)
    machine.fact("docker-version", version)
    done = machine.run(*JOINING)
    assert done.status == 1
    assert sentence in done.said
    assert not done.called("gpulease-host")


def test_a_docker_command_that_is_podman_is_not_replaced(machine: PaperMachine) -> None:
    machine.add_program("docker", "echo 'podman version 4.3.1'")
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "Remove podman-docker" in done.said
    assert not [call for call in done.called("apt-get") if "docker.io" in call]


def test_a_docker_from_snap_gets_no_second_one_beside_it(machine: PaperMachine) -> None:
    (machine.root / "snap/bin").mkdir(parents=True)
    (machine.root / "snap/bin/docker").touch()
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "snap remove docker" in done.said
    assert not [call for call in done.called("apt-get") if "docker.io" in call]


def test_dockers_own_packages_are_taken_as_they_are(machine: PaperMachine) -> None:
    machine.add_program("dockerd", "")
    machine.fact("docker-runs")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert not [call for call in done.called("apt-get") if "docker.io" in call]


def test_without_live_restore_it_goes_no_further(machine: PaperMachine) -> None:
    machine.fact("refuses-live-restore", "This Docker is part of a swarm.\n")
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "This Docker is part of a swarm.\ngpulease: Docker's live-restore is off" in done.said
    assert not done.called("gpulease-host register")


def test_too_little_room_is_said_before_anything_is_installed(machine: PaperMachine) -> None:
    machine.fact("free-kib", str(1 << 20))
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "has 1024 MiB free, and 2048 are needed" in done.said
    assert not done.called("apt-get")
