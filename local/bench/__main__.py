"""`python -m local.bench`: every figure beside its target, on a site of its own that is taken down again.

Ends with status 1 when a target is missed. docs/figures.md says what each figure means.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from local.bench import answering, bundle, cold_starts, copying, reaching, starting, transitions
from local.bench.figures import Figure, render
from local.dockerd import ensure
from local.leftovers import remove_containers
from local.ports import free_port
from local.proxies import BENCH_NUMBERS, ensure_packages
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
    measured = Measured()
    _measure(wanted, measured)
    print(f"\n{measured.text()}")
    return 0 if measured.is_in_order else 1


@dataclass
class Measured:
    """Figures, and those that could not be had: these keep no others from being told."""

    figures: list[Figure] = field(default_factory=list)
    not_had: list[str] = field(default_factory=list)

    def add(self, name: str, measure: Callable[[], list[Figure]]) -> None:
        try:
            self.figures += measure()
        except Exception as error:  # noqa: BLE001 - whatever ends one measurement
            self.failed(name, error)

    def failed(self, name: str, error: Exception) -> None:
        self.not_had.append(f"NOT HAD: {name}: {error or type(error).__name__}")

    @property
    def missed(self) -> list[str]:
        return [each.name for each in self.figures if each.is_missed]

    @property
    def is_in_order(self) -> bool:
        return not self.missed and not self.not_had

    def text(self) -> str:
        lines = [render(self.figures), "", *self.not_had]
        lines += [f"MISSED: {', '.join(self.missed)}"] if self.missed else []
        return "\n".join(lines if not self.is_in_order else [*lines, "Every target is met."])


def _measure(wanted: Collection[str], measured: Measured) -> None:
    """What needs no site first, while the machine has nothing else to do."""
    for name in ALONE:
        if name in wanted:
            measured.add(name, ALONE[name])
    on_a_site = [name for name in ON_A_SITE if name in wanted]
    if not on_a_site:
        return
    try:
        with _site() as running:
            for name in on_a_site:
                measured.add(name, partial(ON_A_SITE[name], running))
    except Exception as error:  # noqa: BLE001 - a site that does not start, or does not end
        measured.failed("the site of its own", error)


@contextmanager
def _site() -> Iterator[Running]:
    ensure_packages()
    site = Site(
        STATE,
        free_port(),
        GRACE_S,
        heartbeat_s=5,
        proxies=1,
        tunnel_port=free_port(),
        https_port=free_port(),
        proxy_numbers=BENCH_NUMBERS,
    )
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
