"""`python -m local.bench`: a site of its own, measured and taken down again."""

from __future__ import annotations

import argparse
import shutil
import sys
from statistics import median

from local.bench import starting, transitions
from local.dockerd import ensure
from local.leftovers import remove_containers
from local.ports import free_port
from local.site import LOCAL, Site, release_docker

STATE = LOCAL / "bench"
GRACE_S = 5
OVERHEAD_TARGET_S = 0.7
TRANSITIONS_TARGET = 14


def main() -> int:
    """Print every figure beside its target."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--turns", type=int, default=10)
    turns = parser.parse_args().turns
    site = Site(STATE, free_port(), GRACE_S, heartbeat_s=5)
    _clear(site)
    try:
        running = site.start()
        starts = starting.measure(running, turns)
        print(f"\nPOST /v1/contracts to StartedAt, median of {turns}: {median(starts.service):.2f} s")
        print(f"docker network create + docker run -d, same flags:  {median(starts.plain):.2f} s")
        print(f"overhead: {starts.overhead_s:.2f} s (target: at most {OVERHEAD_TARGET_S} s)")
        states = transitions.count(running)
        print(f"state transitions of a plain rental: {states} (target: at most {TRANSITIONS_TARGET})")
    finally:
        _clear(site)
        release_docker()
    return 0


def _clear(site: Site) -> None:
    site.stop()
    remove_containers(site.state, ensure(LOCAL / "docker").docker_host)
    shutil.rmtree(site.state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
