"""host/install.sh on a machine of paper: what it sets up, what it skips, and where it says what to do next."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.host_package import join_installer
from tests.host.installer import programs
from tests.host.installer.rig import API_URL, JOINING, MOVED, PaperMachine

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
CHANGING = ("apt-get", "dpkg", "pip install", "amazon-ssm-agent", "gpulease-host register", "systemctl restart")
APT = "apt-get -q -y --no-remove"
UNIT = "etc/systemd/system/gpulease-host.service"


def test_it_is_clean_posix_shell() -> None:
    command = [str(SHELLCHECK), "--shell=sh", "-"]
    done = subprocess.run(command, input=join_installer(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_fresh_machine_gets_all_that_a_host_needs(machine: PaperMachine) -> None:
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    installed = [call.rpartition(" install ")[2] for call in done.called(APT)]
    ways_in = "openssh-server openssh-client busybox-static patchelf"
    assert installed == ["python3-venv", "docker.io", "iptables", "iproute2", ways_in]
    full = [call for call in done.called(APT) if "--no-install-recommends" not in call]
    assert full == [f"{APT} install docker.io"]
    assert done.calls.index("gpulease-host live-restore on") < done.calls.index("gpulease-host toolkit packages")
    assert "systemctl restart amazon-ssm-agent" in done.calls
    assert done.called("amazon-ssm-agent") == ["amazon-ssm-agent -register -code c-1 -id a-1 -region eu-central-1 -y"]
    (registered,) = done.called("gpulease-host register")
    assert registered == f"gpulease-host register --api-url {API_URL} --token 77.secret"
    assert f"ExecStart={machine.root}/usr/local/bin/gpulease-host daemon" in machine.read(UNIT)
    assert done.called("systemctl")[-3:] == [
        "systemctl daemon-reload", "systemctl enable -q gpulease-host", "systemctl restart gpulease-host",
    ]  # fmt: skip
    assert done.said.splitlines()[-1].startswith("gpulease: Done: this machine is host 77.")


def test_an_sshd_that_comes_with_the_packages_is_not_started_now_or_later(machine: PaperMachine) -> None:
    done = machine.run(*JOINING)
    policy, off = done.calls.index("policy-rc.d 101"), done.calls.index("systemctl disable -q --now ssh.service")
    assert policy < off
    assert "systemctl disable -q --now ssh.socket" in done.calls
    assert not (machine.root / "usr/sbin/policy-rc.d").exists()


def test_an_sshd_that_was_there_goes_on(machine: PaperMachine) -> None:
    machine.fact("missing-packages", "busybox-static\npatchelf\n")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert done.called(APT)[-1].endswith(" busybox-static patchelf")
    assert not [call for call in done.calls if "ssh.s" in call or "policy-rc.d" in call]


def test_an_installation_that_fails_does_not_leave_the_machine_with_services_off(machine: PaperMachine) -> None:
    machine.fact("apt-refuses")
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "apt-get could not install openssh-server openssh-client" in done.said
    assert "policy-rc.d 101" in done.calls
    assert not (machine.root / "usr/sbin/policy-rc.d").exists()


def test_nobody_elses_services_are_kept_off_while_the_lock_is_theirs(machine: PaperMachine) -> None:
    machine.fact("lock-holders", "E: Could not get lock /var/lib/dpkg/lock-frontend.\n" * 9)
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert "policy-rc.d 101" in done.calls
    assert "policy-rc.d while another installs" not in done.calls


@pytest.mark.parametrize("options", [JOINING, ("--uninstall",)], ids=["joining", "leaving"])
def test_a_policy_that_a_power_cut_left_here_goes_with_the_next_run(
    machine: PaperMachine, options: tuple[str, ...]
) -> None:
    policy = machine.root / "usr/sbin/policy-rc.d"
    machine.add_program("apt-get", f"{programs.APT_GET}\ncp {policy} $FACTS/kept 2>/dev/null || :")
    machine.run(*JOINING)
    policy.write_bytes((machine.facts / "kept").read_bytes())
    machine.run(*options)
    assert not policy.exists()


def test_a_policy_of_the_owner_stays_as_it_is(machine: PaperMachine) -> None:
    policy = machine.root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 7\n")
    policy.chmod(0o755)
    done = machine.run(*JOINING)
    assert "policy-rc.d 7" in done.calls
    assert policy.read_text().endswith("exit 7\n")
    assert "systemctl disable -q --now ssh.service" in done.calls


def test_the_agent_is_amazons_of_the_region_and_the_processor(machine: PaperMachine) -> None:
    machine.fact("processor", "aarch64")
    (taken,) = [call for call in machine.run(*JOINING).called("curl") if "https://s3." in call]
    assert taken.endswith(
        "https://s3.eu-central-1.amazonaws.com/amazon-ssm-eu-central-1/latest/debian_arm64/amazon-ssm-agent.deb"
    )


def test_the_same_line_again_changes_nothing(host: PaperMachine) -> None:
    before = snapshot(host)
    done = host.run(*JOINING)
    assert done.status == 0, done.said
    assert "systemctl start gpulease-host" in done.calls
    assert not [call for beginning in CHANGING for call in done.called(beginning)]
    assert snapshot(host) == before


def snapshot(machine: PaperMachine) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in machine.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--token", "77.secret"),
        JOINING[:-2],
        (*JOINING, "--wrong", "x"),
        (*JOINING, "--prefix"),
        (*JOINING, "--simulate-gpus", "many"),
        (*JOINING, "--prefix", "not/absolute"),
        (*JOINING, "--prefix", "/a b"),
        (*JOINING[:-1], "eu; reboot"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_and_does_nothing(machine: PaperMachine, options: tuple[str, ...]) -> None:
    done = machine.run(*options)
    assert done.status == 2, done.said
    assert "usage: install.sh" in done.said
    assert not done.calls


def test_help_is_no_failure(machine: PaperMachine) -> None:
    done = machine.run("--help")
    assert (done.status, done.calls) == (0, [])


def test_a_package_with_another_hash_is_not_installed(machine: PaperMachine) -> None:
    machine.serve("abc", sent="something else")
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "The package is not the one that this installer is for" in done.said
    assert not done.called("pip install")
    assert not (machine.root / "opt").exists()


def test_a_script_that_arrives_in_part_does_nothing(machine: PaperMachine) -> None:
    whole = machine.script
    for part in range(1, 8):
        done = machine.run(*JOINING, script=whole[: len(whole) * part // 8])
        assert not done.calls, done.calls


@pytest.mark.parametrize("ahead_s", [-90, 90])
def test_a_wrong_clock_is_refused(machine: PaperMachine, ahead_s: int) -> None:
    machine.tell_time(ahead_s)
    done = machine.run(*JOINING)
    assert done.status == 1
    assert re.search(r"The clock is off by -?(89|90|91) seconds", done.said)


@pytest.mark.parametrize(
    ("fact", "text", "sentence"),
    [
        ("uid", "1000", "This needs root"),
        ("processor", "riscv64", "this is riscv64"),
        ("agent-refuses", "", "The agent could not register"),
    ],
)
def test_what_cannot_be_mended_here_is_said(machine: PaperMachine, fact: str, text: str, sentence: str) -> None:
    machine.fact(fact, text)
    done = machine.run(*JOINING)
    assert done.status == 1
    assert sentence in done.said


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("nvidia-smi", "nvidia-smi shows no GPU"),
        ("nvidia-container-runtime-hook", "NVIDIA's container toolkit is missing"),
        ("apt-get", "python3-venv is missing. Install it with this system's package manager"),
    ],
)
def test_a_program_that_only_the_owner_can_install_is_named(machine: PaperMachine, program: str, sentence: str) -> None:
    machine.remove_program(program)
    done = machine.run(*JOINING)
    assert done.status == 1
    assert sentence in done.said
    assert done.said.rstrip().endswith("run the same line again.")


def test_simulated_gpus_need_no_driver(machine: PaperMachine) -> None:
    for program in programs.GPU:
        machine.remove_program(program)
    done = machine.run(*JOINING, "--simulate-gpus", "4")
    assert done.status == 0, done.said
    assert done.called("gpulease-host register")[0].endswith("--simulate-gpus 4")


def test_an_older_python_gets_a_newer_one_beside_it(machine: PaperMachine) -> None:
    machine.fact("old-python")
    machine.fact("has-venv")
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert done.called(APT)[0].endswith("python3.11 python3.11-venv")
    assert done.called("python3.11 -m venv")


def test_an_agent_that_serves_somebody_else_is_not_taken(machine: PaperMachine) -> None:
    registration = machine.root / "var/lib/amazon/ssm/registration"
    registration.parent.mkdir(parents=True)
    registration.write_text('{"ManagedInstanceID":"mi-theirs"}')
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "mi-theirs" in done.said
    assert not done.called("amazon-ssm-agent")


def test_after_a_failure_the_same_line_goes_on_where_it_was(machine: PaperMachine) -> None:
    machine.fact("refusals", "This registration token has expired. (unauthenticated, 401)\n")
    first = machine.run(*JOINING)
    assert first.status == 1
    assert "This registration token has expired. (unauthenticated, 401)\ngpulease: The machine could not" in first.said
    second = machine.run(*JOINING)
    assert second.status == 0, second.said
    assert not second.called("amazon-ssm-agent")
    assert not second.called("pip install")


def test_it_waits_until_the_service_has_heard_of_the_agent(machine: PaperMachine) -> None:
    machine.fact("refusals", "The machine's agent has not reported yet. (busy, 409)\n" * 3)
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert len(done.called("gpulease-host register")) == 4


def test_it_does_not_wait_for_ever(machine: PaperMachine) -> None:
    machine.fact("refusals", "The machine's agent has not reported yet. (busy, 409)\n" * 1000)
    done = machine.run(*JOINING)
    assert done.status == 1
    assert "The service has not heard of the agent for 300 seconds" in done.said


def test_without_options_a_host_gets_the_services_present_program(host: PaperMachine) -> None:
    host.serve("def")
    done = host.run()
    assert done.status == 0, done.said
    assert done.called("pip install")
    assert not done.called("gpulease-host register")
    assert done.called("systemctl")[-1] == "systemctl restart gpulease-host"


def test_a_link_that_was_made_by_hand_does_not_lead_the_program_astray(host: PaperMachine) -> None:
    program, target = host.root / "usr/local/bin/gpulease-host", host.root / "opt/gpulease/bin/gpulease-host"
    before = target.read_bytes()
    program.unlink()
    program.symlink_to(target)
    assert host.run().status == 0
    assert not program.is_symlink()
    assert target.read_bytes() == before


def test_without_systemd_it_says_how_to_start_the_daemon(machine: PaperMachine) -> None:
    (machine.root / "run/systemd/system").rmdir()
    done = machine.run(*JOINING)
    assert done.status == 0, done.said
    assert f"Daemon: start it with {machine.root}/usr/local/bin/gpulease-host daemon" in done.said
    assert not done.called("systemctl")


def test_below_a_prefix_nothing_else_is_touched(machine: PaperMachine, tmp_path: Path) -> None:
    prefix = f"{tmp_path}/elsewhere"
    done = machine.run(*JOINING, "--prefix", prefix)
    assert done.status == 1
    assert "python3-venv is missing. With --prefix nothing is installed" in done.said
    machine.fact("has-venv")
    machine.fact("docker-runs")
    for program in ("dockerd", "ip6tables-restore", "ip"):
        machine.add_program(program, "")
    machine.add_program("agent", programs.AGENT)
    done = machine.run(*JOINING, "--prefix", prefix, "--agent-command", "agent")
    assert done.status == 0, done.said
    assert "ssh and jupyter: contracts of these modes wait until somebody installs openssh-server" in done.said
    assert not [call for beginning in ("apt-get", "dpkg", "systemctl") for call in done.called(beginning)]
    assert not (machine.root / "etc").exists()


def test_the_tests_know_every_folder_that_it_writes_to() -> None:
    """A path that the rig does not move would be this machine's own."""
    text = re.sub(r"^(#|PATH=).*$", "", join_installer(), flags=re.MULTILINE)
    absolute = set(re.findall(r"(?<![\w$}.:<@/])/[a-z][\w./-]*", text))
    assert len(absolute) > 4
    harmless = {"/containers", "/dev/null", "/proc/", "/v1/hosts", "/root/.aws/credentials", "/var/snap/"}
    assert {path.rstrip(".") for path in absolute if not path.startswith(MOVED)} <= harmless
