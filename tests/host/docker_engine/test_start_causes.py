"""What Docker, its runtime and the kernel say of a start that failed, and whom it is laid to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpulease_host.docker_engine.docker_api import RefusedError
from gpulease_host.docker_engine.start_causes import CAUSES, CLIENTS, cause_of
from gpulease_host.docker_engine.start_errors import explained
from gpulease_host.engine import (
    DiskError,
    EngineError,
    EngineUnavailableError,
    HostFaultError,
    LimitsError,
    NotStartedError,
    Port,
    PortTakenError,
)
from gpulease_host.readiness import MAX_SENTENCE
from tests.host.orders import order

CREATE = "failed to create shim task: OCI runtime create failed: runc create failed: "
PROCESS = f"{CREATE}unable to start container process: "
OLD = "OCI runtime create failed: container_linux.go:367: starting container process caused: "
HOOK = f"{PROCESS}error during container init: error running hook #0: error running hook: exit status 1, stdout: , "
NVIDIA = f"{HOOK}stderr: nvidia-container-cli: "
IN_THE_WAY = "driver failed programming external connectivity on endpoint gpulease-11 (4f): "

SAID = {
    "program_missing": [
        f'{PROCESS}exec: "pyton": executable file not found in $PATH: unknown',
        f'{OLD}exec: "/start.sh": stat /start.sh: no such file or directory: unknown',
        f'{PROCESS}error during container init: exec: "/srv": is a directory: unknown',
    ],
    "program_not_executable": [f'{PROCESS}exec: "/start.sh": permission denied: unknown'],
    "program_of_other_kind": [f'{PROCESS}exec: "/app": exec format error: unknown'],
    "user_missing": ["unable to find user worker: no matching entries in passwd file"],
    "no_program": ["No command specified", "no command specified"],
    "init_missing": ['exec: "docker-init": executable file not found in $PATH'],
    "bad_folder": [
        f'{PROCESS}error during container init: error mounting "/x" to rootfs at "/.gl": not a directory: unknown',
        f'{PROCESS}error during container init: error mounting "proc" to rootfs at "/proc": filesystem "proc" must be '
        "mounted on ordinary directory",
        f'{PROCESS}error during container init: error mounting "/x" to rootfs at "/.gl-run": too many levels of '
        "symbolic links",
        "lstat /var/lib/docker/volumes/1/_data/iptables/aaa: file name too long",
        f'{OLD}process_linux.go:495: container init caused: chdir to cwd ("/work") set in config.json failed',
    ],
    "driver_too_old": [f"{NVIDIA}requirement error: unsatisfied condition: cuda>=12.4, please update your driver"],
    "bad_gpu_variables": [
        f"{NVIDIA}requirement error: invalid expression: unknown",
        f"{HOOK}stderr: unsupported capabilities found in 'foo'",
    ],
    "libraries_not_listed": [f"{NVIDIA}ldcache error: process /sbin/ldconfig failed with error code: 1: unknown"],
    "too_long": [f'{PROCESS}exec: "/bin/sh": argument list too long: unknown'],
    "disk_of_instance_full": ["mkdir /var/lib/docker/overlay2/1/merged/dev: disk quota exceeded"],
    "driver_mismatch": [f"{NVIDIA}initialization error: nvml error: driver/library version mismatch: unknown"],
    "driver_not_loaded": [
        f"{NVIDIA}initialization error: nvml error: driver not loaded: unknown",
        f"{NVIDIA}initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file",
    ],
    "gpu_hook_missing": ['could not select device driver "" with capabilities: [[gpu]]'],
    "gpu_not_given": [
        f"{NVIDIA}device error: GPU-1: unknown device: unknown",
        f"{NVIDIA}detection error: nvml error: gpu is lost: unknown",
        f"{HOOK}stderr: ",
    ],
    "firewall_refused": [
        f"{IN_THE_WAY}(iptables failed: iptables --wait -t nat -A DOCKER: No chain/target/match by that name)",
    ],
    "network_not_made": [
        "failed to create endpoint gpulease-1 on network gl-1: failed to add the host (veth1) <=> sandbox (veth2) pair "
        "interfaces: operation not supported",
    ],
    "confinement_refused": [
        f"{PROCESS}error during container init: unable to apply apparmor profile: apparmor failed to apply profile",
    ],
    "groups_refused": [
        f"{PROCESS}unable to apply cgroup configuration: mkdir /sys/fs/cgroup/gpulease: permission denied",
    ],
    "docker_disk_full": ["error creating overlay mount to /var/lib/docker/overlay2/1: no space left on device"],
    "docker_disk_faulty": [f"{CREATE}open /var/lib/docker/x: input/output error"],
    "resources_used_up": [f"{CREATE}fork/exec /usr/bin/runc: cannot allocate memory"],
    "runtime_fails": [
        "unknown or invalid runtime name: runc",
        "OCI runtime create failed: unable to retrieve OCI runtime error",
    ],
    "toolkit_gone": ["invalid mount config for type bind: bind source path does not exist: /var/lib/gpulease/toolkit"],
    "containerd_away": [
        'connection error: desc = "transport: Error while dialing dial unix /run/containerd/containerd.sock"',
    ],
}


@pytest.mark.parametrize(("code", "said"), [(code, each) for code, found in SAID.items() for each in found])
def test_each_cause_is_known_by_its_words(code: str, said: str) -> None:
    cause = cause_of(said)
    assert cause is not None
    assert cause.code == code


def test_every_cause_of_the_table_was_heard() -> None:
    assert {cause.code for cause in (*CLIENTS, *CAUSES)} == SAID.keys()


SAID_OF = PROCESS + 'exec: "{name}": stat {name}: no such file or directory: unknown'
HOSTILE_NAMES = (
    "iptables",
    "nvml error: driver/library version mismatch",
    "cgroup",
    "exec: x",
    "address already in use",
    r"x\" hook apparmor \"y",
    r"x\\",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("tail", ["executable file not found in $PATH", "stat {name}: no such file or directory"])
def test_nothing_that_a_client_writes_is_laid_to_the_host(name: str, tail: str) -> None:
    cause = cause_of(f'{PROCESS}exec: "{name}": {tail.format(name=name)}: unknown')
    assert not isinstance(explained(order(), RefusedError(500, SAID_OF.format(name=name))), PortTakenError)
    assert cause is not None
    assert cause.code == "program_missing"


@pytest.mark.parametrize("said", [each for found in SAID.values() for each in found] + ["something never heard"])
def test_a_sentence_is_our_own_and_what_was_said_is_for_the_log(said: str) -> None:
    error = explained(order(), RefusedError(500, said))
    for foreign in ("OCI", "runc", "exec:", "iptables", "nvidia-container-cli", said):
        assert foreign not in str(error)
    if isinstance(error, EngineUnavailableError):
        return
    assert error.details == said
    assert isinstance(error, NotStartedError)
    assert error.code in str(error)
    if isinstance(error, HostFaultError):
        assert error.code in error.for_owner
        assert len(error.for_owner) <= MAX_SENTENCE


def test_a_fault_of_some_gpus_is_not_one_of_the_whole_host() -> None:
    of_gpus = explained(order(), RefusedError(500, SAID["gpu_not_given"][0]))
    of_host = explained(order(), RefusedError(500, SAID["driver_mismatch"][0]))
    assert isinstance(of_gpus, HostFaultError)
    assert isinstance(of_host, HostFaultError)
    assert (of_gpus.of_gpus, of_host.of_gpus) == (True, False)


@pytest.mark.parametrize(
    ("error", "code"),
    [(LimitsError("x"), "limits_refused"), (DiskError("x"), "disk_refused"), (EngineError("x"), "host_step_failed")],
)
def test_what_the_host_promises_and_cannot_set_is_its_own_fault(error: EngineError, code: str) -> None:
    told = explained(order(), error)
    assert isinstance(told, HostFaultError)
    assert (told.code, told.details) == (code, "x")


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
    error = explained(given, RefusedError(500, said))
    assert isinstance(error, PortTakenError)
    assert (error.code, error.ports) == ("port_taken", (Port(8080, "tcp", 40001),))
    assert "Port 40001/tcp of the host is in use" in str(error)
