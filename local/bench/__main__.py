"""`python -m local.bench`: every figure beside its target, on a site of its own that is taken down again.

Ends with status 1 when a target is missed. docs/figures.md says what each figure means.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from infra.layer import LayerBuildError
from local.bench import answering, bundle, cold_starts, copying, reaching, starting, transitions
from local.bench.figures import Figure, render
from local.dockerd import ensure
from local.leftovers import remove_containers
from local.ports import free_port
from local.proxies import ensure_packages
from local.site import LOCAL, Running, Site, release_docker

STATE = LOCAL / "bench"
GRACE_S = 5

ON_A_SITE: dict[str, Callable[[Running], list[Figure]]] = {
    "starts": starting.figures,
    "ways-in": reaching.figures,
    "copies": copying.figures,
    "answers": answering.figures,
    "transitions": transitions.figures,
}
ALONE: dict[str, Callable[[], list[Figure]]] = {
    "cold-starts": cold_starts.figures,
    "bundle": lambda: bundle.figures(STATE / "layer"),
}


def main() -> int:
    """Measure; 0 when every target is met, 1 when one is missed or a figure could not be had."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*ALONE, *ON_A_SITE], help="these figures and no others")
    wanted = parser.parse_args().only or [*ALONE, *ON_A_SITE]
    try:
        found = list(_measure(wanted))
    except LayerBuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{render(found)}")
    missed = [each.name for each in found if each.is_missed]
    print(f"\nMISSED: {', '.join(missed)}" if missed else "\nEvery target is met.")
    return 1 if missed else 0


def _measure(wanted: Collection[str]) -> Iterator[Figure]:
    """What needs no site first, while the machine has nothing else to do."""
    for name in ALONE:
        if name in wanted:
            yield from ALONE[name]()
    on_a_site = [name for name in ON_A_SITE if name in wanted]
    if on_a_site:
        with _site() as running:
            for name in on_a_site:
                yield from ON_A_SITE[name](running)


@contextmanager
def _site() -> Iterator[Running]:
    ensure_packages()
    site = Site(STATE, free_port(), GRACE_S, heartbeat_s=5, proxies=1, tunnel_port=free_port(), https_port=free_port())
    _clear(site)
    try:
        yield site.start()
    finally:
        _clear(site)
        release_docker()


def _clear(site: Site) -> None:
    site.stop()
    remove_containers(site.state, ensure(LOCAL / "docker").docker_host)
    for folder in (site.state, site.local_proxies.state):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
