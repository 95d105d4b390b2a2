"""What is tried in which guest: data, in the order in which it runs.

A step sets the guest's own Docker up (`docker`: what its `daemon.json` says, as an owner would write it), then runs
tests of this checkout in the guest or a command of the README. `minutes` bounds it; what it took is in the summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

INSIDE = "GPULEASE_IN_GUEST"
GUEST_PORT = "GPULEASE_GUEST_PORT"
"""Variables by which tests know that they run in a guest, or where it is."""

STOP_DOCKER = "systemctl stop docker docker.socket"
XFS = f"{STOP_DOCKER}; mkfs.xfs -q -f /dev/vdb && mkdir -p /srv/xfs && mount -o pquota /dev/vdb /srv/xfs"
BTRFS = f"{STOP_DOCKER}; mkfs.btrfs -q -f /dev/vdc && mkdir -p /srv/btrfs && mount /dev/vdc /srv/btrfs"
ON_XFS = {"data-root": "/srv/xfs/docker"}
ON_BTRFS = {"data-root": "/srv/btrfs/docker", "storage-driver": "btrfs"}
CONTAINERD_STORE = {"features": {"containerd-snapshotter": True}, "insecure-registries": ["127.0.0.0/8"]}

REBOOT_DIR = {"GPULEASE_REBOOT_DIR": "/root/reboot"}
ON_LATE_DISK = "mount /dev/vdb /var/lib/docker && systemctl start docker"
LATE_DISK = f"{STOP_DOCKER}; umount -q /srv/xfs; mkfs.xfs -q -f /dev/vdb && {ON_LATE_DISK}"
DISK_COMES = f"{STOP_DOCKER}; {ON_LATE_DISK}"


@dataclass(frozen=True)
class Step:
    """One of `tests` (run in the guest), `outside` (tests run on this machine against the guest), `command`."""

    name: str
    tests: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    command: str = ""
    docker: Mapping[str, object] | None = None
    prepare: str = ""
    reboot: bool = False
    """The guest goes down and up before everything else."""
    minutes: int = 15
    skips: int = 0
    """How many of its tests may be skipped; each for a reason that holds on this machine."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """A guest with its steps."""

    suite: str
    steps: tuple[Step, ...]
    with_browser: bool = False
    memory_mib: int = 3072


ENGINE, LAUNCH, INSIDE_TESTS = "tests/host/docker_engine", "tests/host/launch", "tests/vm/inside"
DISK = (f"{ENGINE}/test_disk.py",)
ATTACKS = (
    f"{ENGINE}/test_disk_attacks.py",
    f"{ENGINE}/test_seccomp.py::test_ioctls_that_step_around_a_disk_limit_are_refused_and_no_others",
    f"{ENGINE}/test_seccomp.py::test_ordinary_work_goes_on_under_seccomp",
)
NETWORK = tuple(f"{ENGINE}/test_{name}.py" for name in ("network", "published"))
SYSTEMD = tuple(f"{ENGINE}/test_{name}.py" for name in ("systemd", "gpu_nodes"))
CONTENDED = f"{ENGINE}/test_shares.py::test_contended_cpu_follows_the_shares_and_idle_cpu_is_free"
SHARES = (*SYSTEMD, f"{ENGINE}/test_shares.py")
WAYS_IN = (
    "tests/host/toolkit/test_openssh.py",
    f"{LAUNCH}/test_strangers.py::test_the_owner_gets_in_after_failed_logins_from_the_same_address",
    f"{LAUNCH}/test_images.py::test_an_image_without_a_shell",
    f"{LAUNCH}/test_images.py::test_an_image_with_musl_whose_files_would_lead_glibc_astray",
    f"{LAUNCH}/test_ways_in.py::test_a_key_that_is_taken_away_ends_its_sessions_and_no_others",
    f"{LAUNCH}/test_jupyter.py::test_an_image_without_python_gets_the_toolkits",
)
DEMO = """make demo >/root/demo.log 2>&1; status=$?; cat /root/demo.log
[ $status = 0 ] && ! grep -E 'Without a proxy|leaves them out|opens no notebook' /root/demo.log"""
HOST = ("tests/vm/outside/test_host.py",)
HOST_WITHOUT_REBOOT = tuple(
    f"{HOST[0]}::test_{name}"
    for name in (
        "the_pasted_line_makes_the_guest_a_host",
        "a_container_has_its_share_of_the_machine",
        "containers_run_on_while_docker_and_the_daemon_restart",
        "an_early_end_leaves_nothing_of_the_contract",
    )
)
ON_XFS_SKIPPED, MEASURED_SKIPPED = 4, 4
"""Tests of disks that need another driver than there is, or one that enforces."""
REBOOT = f"{ENGINE}/test_reboot.py"

PLAN: Mapping[str, Machine] = {
    "trixie": Machine(
        "trixie",
        (
            Step("shares", tests=SHARES, docker={}, minutes=25),
            Step("ssh and jupyter", tests=WAYS_IN),
            Step(
                "firewalld, ufw, nftables",
                tests=(f"{INSIDE_TESTS}/test_other_firewalls.py",),
                environment={"GPULEASE_WHOLE_MACHINE": "1"},
            ),
        ),
    ),
    "bookworm": Machine(
        "bookworm",
        (
            Step("systemd", tests=(*SYSTEMD, CONTENDED), docker={}),
            Step("a host: joined, rented", outside=HOST_WITHOUT_REBOOT),
        ),
    ),
    "trixie-host": Machine(
        "trixie",
        (
            Step("a host: joined, rented, rebooted", outside=HOST, docker={}, minutes=30),
            Step(
                "Docker's disk is there", tests=(f"{REBOOT}::test_before",), prepare=LATE_DISK, environment=REBOOT_DIR
            ),
            Step(
                "a reboot without it",
                tests=(f"{REBOOT}::test_after_a_reboot_without_dockers_disk",),
                reboot=True,
                environment=REBOOT_DIR,
            ),
            Step(
                "it is mounted",
                tests=(f"{REBOOT}::test_after_a_reboot",),
                prepare=DISK_COMES,
                environment=REBOOT_DIR,
            ),
        ),
    ),
    "forky": Machine(
        "forky",
        (
            Step("systemd", tests=SYSTEMD, docker={}),
            Step("network", tests=NETWORK),
            Step("ssh and jupyter", tests=WAYS_IN),
            Step("containerd's image store", tests=DISK, docker=CONTAINERD_STORE, skips=MEASURED_SKIPPED),
        ),
    ),
    "trixie-readme": Machine(
        "trixie",
        (Step("make demo, from root's home", command=DEMO, docker={}, minutes=30),),
        with_browser=True,
        memory_mib=6144,  # synthesis alone takes two
    ),
    "trixie-installer": Machine(
        "trixie",
        (Step("installer", tests=(f"{INSIDE_TESTS}/test_installer.py",), docker={}, minutes=25),),
    ),
    "trixie-disks": Machine(
        "trixie",
        (
            Step(
                "xfs with project quotas",
                tests=(*DISK, *ATTACKS),
                prepare=XFS,
                docker=ON_XFS,
                skips=ON_XFS_SKIPPED,
            ),
            Step("btrfs", tests=DISK, prepare=BTRFS, docker=ON_BTRFS),
            Step("containerd's image store on ext4", tests=DISK, docker=CONTAINERD_STORE, skips=MEASURED_SKIPPED),
        ),
    ),
}
