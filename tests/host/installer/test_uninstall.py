"""`install.sh --uninstall`: refused while somebody's data is here, otherwise nothing stays but what is said."""

from __future__ import annotations

import re

import pytest

from infra.host_package import join_installer
from tests.host.installer.rig import PaperMachine

HERE = ("opt/gpulease", "usr/local/bin/gpulease-host", "var/lib/gpulease", "etc/systemd/system/gpulease-host.service")


def test_a_machine_that_leaves_keeps_nothing_of_ours(host: PaperMachine) -> None:
    done = host.run("--uninstall")
    assert done.status == 0, done.said
    assert not [path for path in HERE if (host.root / path).exists()]
    assert "amazon-ssm-agent -register -clear" in done.calls
    assert "/v1/hosts/77/lost" in done.said
    leaving = [call for call in done.calls if call.startswith(("gpulease-host", "systemctl"))]
    assert leaving[:5] == [
        "gpulease-host --help", "systemctl stop gpulease-host", "gpulease-host leave", "gpulease-host live-restore off",
        "systemctl disable -q --now gpulease-host",
    ]  # fmt: skip


def test_leaving_twice_is_no_failure(host: PaperMachine) -> None:
    assert host.run("--uninstall").status == 0
    done = host.run("--uninstall")
    assert done.status == 0
    assert "nothing of GPULease is here" in done.said
    assert not done.called("apt-get")


def test_instances_here_stop_it_and_the_daemon_goes_on(host: PaperMachine) -> None:
    host.fact("refuses-leave", "Contracts have instances here\n")
    done = host.run("--uninstall")
    assert done.status == 1
    assert "Contracts have instances here\ngpulease: This machine is a host still" in done.said
    assert done.called("systemctl")[-1] == "systemctl start gpulease-host"
    assert all((host.root / path).exists() for path in HERE)


def test_data_may_be_lost_on_the_owners_word(host: PaperMachine) -> None:
    assert "gpulease-host leave --lose-data" in host.run("--uninstall", "--lose-data").calls


@pytest.mark.parametrize("older", [False, True], ids=["broken", "an older one"])
def test_a_program_that_cannot_is_updated_first_unless_data_may_be_lost(host: PaperMachine, older: bool) -> None:
    if older:
        host.fact("usage", "gpulease-host status\n")
    else:
        (host.root / "opt/gpulease/bin/gpulease-host").unlink()
    done = host.run("--uninstall")
    assert done.status == 1
    assert "The host program does not run" in done.said
    done = host.run("--uninstall", "--lose-data")
    assert done.status == 0, done.said
    assert "Left, because the host program does not remove it" in done.said


def test_an_agent_of_somebody_else_goes_on(host: PaperMachine) -> None:
    (host.root / "var/lib/gpulease/activation").unlink()
    done = host.run("--uninstall")
    assert done.status == 0, done.said
    assert not done.called("amazon-ssm-agent")
    assert "systemctl disable -q --now amazon-ssm-agent" not in done.calls


def test_packages_stay_and_are_named(host: PaperMachine) -> None:
    done = host.run("--uninstall")
    assert not done.called("apt-get")
    assert "apt-get remove amazon-ssm-agent busybox-static docker.io iproute2 iptables openssh-client" in done.said


def test_packages_go_on_the_owners_word(host: PaperMachine) -> None:
    done = host.run("--uninstall", "--with-packages")
    assert done.status == 0, done.said
    (removed,) = done.called("apt-get -q -y remove")
    assert " docker.io " in removed


@pytest.mark.parametrize(
    ("fact", "text", "reason"),
    [
        ("docker-containers", '[{"Id":"1"}]', "Docker has containers of yours"),
        ("sshd-is-on", "", "sshd was turned on since"),
        ("would-go", "Remv docker.io [26]\nRemv mine [1]\n", "other packages need them (mine )"),
    ],
)
def test_packages_that_are_in_use_stay(host: PaperMachine, fact: str, text: str, reason: str) -> None:
    host.fact(fact, text)
    done = host.run("--uninstall", "--with-packages")
    assert done.status == 0, done.said
    assert f"Left: packages that were installed for GPULease, because {reason}" in done.said
    assert not done.called("apt-get -q -y remove")


def test_a_docker_that_does_not_answer_stays_with_what_it_may_have(host: PaperMachine) -> None:
    host.forget("docker-runs")
    done = host.run("--uninstall", "--with-packages")
    assert done.status == 0, done.said
    assert "because Docker does not answer, and may have containers of yours: " in done.said
    assert not done.called("apt-get -q -y remove")


def test_a_disk_below_the_state_folder_is_not_emptied() -> None:
    text = join_installer()
    assert 'find "$STATE" -mindepth 1 -xdev -delete' in text
    assert not re.search(r"rm -rf (?!--one-file-system|\"\$WORK\")", text)


@pytest.mark.parametrize("options", [("--lose-data",), ("--with-packages",), ("--uninstall", "--token", "77.secret")])
def test_options_that_do_not_go_together_are_wrong_use(machine: PaperMachine, options: tuple[str, ...]) -> None:
    done = machine.run(*options)
    assert (done.status, done.calls) == (2, [])
