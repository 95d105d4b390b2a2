"""The unit of the daemon: after what it needs, never given up, and with the disks that it is on."""

from __future__ import annotations

from tests.host.installer.rig import DOCKER_INFO, JOINING, PaperMachine

UNIT = "etc/systemd/system/gpulease-host.service"


def test_it_restarts_for_ever_with_a_bounded_delay(host: PaperMachine) -> None:
    unit = host.read(UNIT).splitlines()
    assert {"StartLimitIntervalSec=0", "Restart=always", "RestartMaxDelaySec=30"} <= set(unit)
    assert "After=docker.service amazon-ssm-agent.service network-online.target time-set.target" in unit
    assert not [line for line in unit if line.startswith(("Requires", "ExecStartPre", "Environment=DOCKER_HOST"))]


def test_a_disk_of_its_own_is_looked_for_at_each_start_and_never_a_dependency(machine: PaperMachine) -> None:
    machine.fact("docker-info", DOCKER_INFO.replace("/var/lib/docker", "/data/docker"))
    machine.fact("mounted_data_docker", "/data\n")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    unit = machine.read(UNIT).splitlines()
    assert {"After=data.mount", "ExecStartPre=mountpoint -q /data"} <= set(unit)
    assert not [line for line in unit if "RequiresMountsFor" in line]


def test_the_daemon_takes_the_docker_that_was_found(host: PaperMachine) -> None:
    assert host.run(docker_host=f"unix://{host.root}/other.sock").status == 0
    assert f"Environment=DOCKER_HOST=unix://{host.root}/other.sock" in host.read(UNIT)
