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
XFS = "mkfs.xfs -q -f /dev/vdb && mkdir -p /srv/xfs && mount -o pquota /dev/vdb /srv/xfs"
BTRFS = "mkfs.btrfs -q -f /dev/vdc && mkdir -p /srv/btrfs && mount /dev/vdc /srv/btrfs"
CONTAINERD_STORE = {"features": {"containerd-snapshotter": True}}


@dataclass(frozen=True)
class Step:
    """One of `tests` (run in the guest), `outside` (tests run on this machine against the guest), `command`."""

    name: str
    tests: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    command: str = ""
    docker: Mapping[str, object] | None = None
    prepare: str = ""
    minutes: int = 15
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


DOCKER_TESTS = "tests/host/docker_engine"
SHARES = (f"{DOCKER_TESTS}/test_shares.py", f"{DOCKER_TESTS}/test_cgroups.py", f"{DOCKER_TESTS}/test_rules.py")
DISK = (f"{DOCKER_TESTS}/test_disk.py",)
NETWORK = (f"{DOCKER_TESTS}/test_network.py", f"{DOCKER_TESTS}/test_published.py")

PLAN: Mapping[str, tuple[Step, ...]] = {
    "trixie": (
        Step("shares, systemd's Docker on ext4", tests=SHARES, docker={}),
        Step("disk on ext4", tests=DISK),
        Step("network", tests=NETWORK),
        Step("disk on xfs with project quotas", tests=DISK, prepare=XFS, docker={"data-root": "/srv/xfs/docker"}),
        Step("disk on btrfs", tests=DISK, prepare=BTRFS, docker={"data-root": "/srv/btrfs/docker"}),
        Step("containerd's image store", tests=DISK, docker=CONTAINERD_STORE),
        Step("one whole rental: make demo, in root's home", command="make demo", docker={}, minutes=30),
    ),
    "bookworm": (Step("shares", tests=SHARES, docker={}), Step("network", tests=NETWORK)),
    "forky": (Step("shares", tests=SHARES, docker={}), Step("network", tests=NETWORK)),
}
