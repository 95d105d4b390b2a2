"""What the kernel refuses to root in a container, asked of the kernel from inside; and that ordinary work goes on."""

from __future__ import annotations

import json

import pytest

from gpulease_host.docker_engine import seccomp, syscalls
from gpulease_host.engine import Order
from local.images import BUSYBOX
from tests.host.docker_engine.attacks import DONE, attacker_in, outcome
from tests.host.docker_engine.bench import Bench, name_of

# Docker's own profile refuses these to who has no capability for them; the last ones only ours does.
REFUSED_AS_BY_DOCKER = """
    add_key keyctl request_key bpf mount umount2 unshare setns personality userfaultfd perf_event_open fsopen
    open_by_handle_at quotactl quotactl_fd move_mount kcmp pidfd_getfd kexec_load init_module swapon reboot
    settimeofday sethostname acct syslog mbind clone-with-namespace vsock
"""
REFUSED_BY_OURS = frozenset({"io_uring_setup", "vsock-with-high-bits", "kernel-ciphers"})
LET_THROUGH = frozenset({"ptrace", "socket", "memfd_create", "getpid"})


@pytest.mark.docker
def test_ioctls_that_step_around_a_disk_limit_are_refused_and_no_others(bench: Bench) -> None:
    """In every width a program can say them in."""
    lines = attacker_in(bench, bench.run("sleep", "600")).says("refused-ioctls")
    assert {line for line in lines if not line.isdigit()} == set()
    assert {int(line) for line in lines} == seccomp.REFUSED_IOCTLS


@pytest.mark.docker
def test_seccomp_refuses_at_least_what_docker_would(bench: Bench) -> None:
    answers = _answers(bench, bench.run("sleep", "600"))
    assert {name for name, answer in answers.items() if answer == "EPERM"} >= {
        *REFUSED_AS_BY_DOCKER.split(),
        *REFUSED_BY_OURS,
    }
    assert not {name for name in LET_THROUGH if answers[name] == "EPERM"}
    assert answers["clone3"] == "ENOSYS", "else C libraries would not fall back to clone"
    assert answers["file_setattr"] in ("EPERM", "ENOSYS")


@pytest.mark.docker
def test_what_docker_refuses_is_refused_here_too(bench: Bench) -> None:
    """Beside a container with Docker's own profile: nothing that it refuses is let through by ours."""
    order = bench.order()
    ours = _answers(bench, bench.run("sleep", "600"))
    bench.made.append(order)
    host_config = bench.client.create_host_config(cap_drop=["ALL"], security_opt=["no-new-privileges"])
    config = bench.client.create_container_config(BUSYBOX, ["sleep", "600"], host_config=host_config)
    bench.client.create_container_from_config(config, name_of(order))
    bench.client.start(name_of(order))
    try:
        docker = _answers(bench, order)
    finally:
        bench.client.remove_container(name_of(order), force=True)
    for name, answer in docker.items():
        assert answer not in ("EPERM", "ENOSYS") or ours[name] in ("EPERM", "ENOSYS"), name


@pytest.mark.docker
def test_a_32_bit_program_has_a_network_and_no_call_of_its_own_to_what_is_refused(bench: Bench) -> None:
    lines = attacker_in(bench, bench.run("sleep", "600")).says("calls-of-32-bits")
    answers = {name: outcome(number) for name, number in (line.split() for line in lines)}
    expected = {"ciphers": "EPERM", "vsock": "EPERM", "internet": DONE, "internet-by-socketcall": DONE}
    assert answers in (expected, {}), "none where programs of 32 bits are not x86's"


def _answers(bench: Bench, order: Order) -> dict[str, str]:
    lines = (line.split() for line in attacker_in(bench, order).says("calls"))
    return {name: outcome(number) for name, number in lines}


@pytest.mark.docker
def test_ordinary_work_goes_on_under_seccomp(bench: Bench) -> None:
    order = bench.run("sleep", "600")
    for script in (
        "cp -a /bin /tmp/bin && cmp /bin/busybox /tmp/bin/busybox",
        "tar -C / -cf - bin | tar -C /tmp -xf - && rm -r /tmp/bin",
        "for each in $(seq 15); do (true | cat) & done; wait",
        "mkfifo /tmp/pipe && (echo through > /tmp/pipe &) && grep -q through /tmp/pipe",
        "ln -s x /tmp/link && mv /tmp/link /tmp/other && chown -h 5:5 /tmp/other && touch -h /tmp/other",
        "dd if=/dev/zero of=/tmp/sparse bs=1 count=1 seek=1M && truncate -s 0 /tmp/sparse && sync",
        "setsid sh -c 'trap : TERM; kill -TERM $$' && chroot / true",
        "(echo sent | nc -l -p 9 &); sleep 0.5; nc 127.0.0.1 9 < /dev/null | grep -q sent",
    ):
        status, output = bench.sh(order, script)
        assert status == 0, (script, output)


@pytest.mark.docker
def test_a_terminal_is_one_under_seccomp(bench: Bench) -> None:
    made = bench.client.exec_create(name_of(bench.run("sleep", "600")), ["sh", "-c", "stty rows 50; stty -a"], tty=True)
    assert "rows 50" in bench.client.exec_start(made["Id"], tty=True).decode()


@pytest.mark.parametrize("bits", [3, 6])
def test_allowed_cubes_are_the_complement_each_number_once(bits: int) -> None:
    for refused in ([], [0], [5], [1, 2, 3], list(range(4, 8)), list(range(1 << bits))):
        cubes = list(seccomp.allowed_cubes(refused, bits))
        for number in range(1 << bits):
            holding = sum(1 for mask, value in cubes if number & mask == value)
            assert holding == (number not in refused)


def test_no_call_is_named_twice_and_none_of_the_filtered_ones_is_allowed_outright() -> None:
    names = [*syscalls.EVERYWHERE, *syscalls.X86, *syscalls.ARM]
    assert len(names) == len(set(names))
    assert not set(names) & {"ioctl", "socket", "clone", "clone3", "personality", "file_setattr", "io_uring_setup"}


def test_the_profile_says_each_condition_in_a_rule_of_its_own() -> None:
    """runc turns two conditions on one argument into two rules, of which either would do."""
    profile = json.loads(seccomp.security_option().removeprefix("seccomp="))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert all(len(rule.get("args", [])) <= 1 for rule in profile["syscalls"])
