"""The unit of the daemon: after what it needs, never given up, and with the disks that it is on."""

from __future__ import annotations

from tests.host.installer.rig import DOCKER_INFO, JOINING, PaperMachine

UNIT = "etc/systemd/system/gpulease-host.service"


def test_it_restarts_for_ever_with_a_bounded_delay(host: PaperMachine) -> None:
    unit = host.read(UNIT).splitlines()
    assert {"StartLimitIntervalSec=0", "Restart=always", "RestartMaxDelaySec=30"} <= set(unit)
    assert "After=docker.service amazon-ssm-agent.service network-online.target time-set.target" in unit
    assert not [line for line in unit if line.startswith(("Requires", "ExecStartPre", "Environment=DOCKER_HOST"))]


def test_its_own_disk_is_looked_for_at_each_start_and_never_a_dependency(machine: PaperMachine) -> None:
    machine.fact(f"mounted{machine.root}/var/lib/gpulease".replace("/", "_"), "/state\n")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    unit = machine.read(UNIT).splitlines()
    assert {"After=state.mount", "ExecStartPre=mountpoint -q /state"} <= set(unit)
    assert not [line for line in unit if "RequiresMountsFor" in line]


def test_without_dockers_disk_the_daemon_starts(machine: PaperMachine) -> None:
    machine.fact("docker-info", DOCKER_INFO.replace("/var/lib/docker", "/data/docker"))
    machine.fact("mounted_data_docker", "/data\n")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert "After=data.mount" in machine.read(UNIT)
    assert "ExecStartPre" not in machine.read(UNIT)


def test_a_restart_is_not_forgotten_when_a_step_after_the_program_fails(host: PaperMachine) -> None:
    host.serve("def")
    host.fact("refuses-live-restore", "This Docker is part of a swarm.\n")
    assert host.run().status == 1
    host.forget("refuses-live-restore")
    assert host.run().called("systemctl")[-1] == "systemctl restart gpulease-host"
    assert host.run().called("systemctl")[-1] == "systemctl start gpulease-host"


def test_a_daemon_that_did_not_answer_is_restarted_by_the_next_run(host: PaperMachine) -> None:
    host.serve("def")
    host.fact("refuses-status", "no daemon answers\n")
    assert host.run().status == 1
    host.forget("refuses-status")
    assert host.run().called("systemctl")[-1] == "systemctl restart gpulease-host"


def test_the_daemon_takes_the_docker_that_was_found(host: PaperMachine) -> None:
    assert host.run(docker_host=f"unix://{host.root}/other.sock").status == 0
    assert f"Environment=DOCKER_HOST=unix://{host.root}/other.sock" in host.read(UNIT)
