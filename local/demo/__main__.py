"""`python -m local.demo`: set a site up from nothing, play the rental, take everything down again."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

from selenium.common.exceptions import WebDriverException

from local import dockerd, proxies
from local.client import ApiError, WaitedTooLongError
from local.demo.narration import Narrator
from local.demo.rental import DURATION_S, Rental, UnexpectedError
from local.demo.ways_in import Visit
from local.dockerd_packages import MissingPackagesError
from local.leftovers import remove_containers
from local.machine import JoinError
from local.ports import free_port
from local.proxies import ProxyError
from local.site import LOCAL, Site, release_docker
from local.supervise import ProcessError
from local.synth import SynthesisError

GRACE_S = 10
HEARTBEAT_S = 5
STATE = LOCAL / "demo"
PICTURE = LOCAL / "jupyterlab.png"
FAILURES = (ApiError, JoinError, ProcessError, SynthesisError, UnexpectedError, WaitedTooLongError, WebDriverException)


def main() -> int:
    """Play it; the exit code is 0 only if every act came out as promised and nothing is left running."""
    tell = Narrator()
    site = _site(tell)
    try:
        _clear(site)
        if site.proxies:
            proxies.ensure_packages()
        with tell.step("Start the service, and make this machine a host"):
            running = site.start(tell.say)
            tell.say(f"serving on {running.cloud.front_url}, host {running.host_id}")
        _play(Rental(running, tell, {}, {}))
        _visit(Visit(running, tell, "direct", PICTURE, site.state / "visit"))
        if site.proxies:
            picture, authority = PICTURE.with_stem("jupyterlab-by-proxy"), site.local_proxies.zone_authority
            _visit(Visit(running, tell, "proxy", picture, site.state / "visit-by-proxy", authority))
    except (dockerd.DockerdError, MissingPackagesError, ProxyError) as error:
        print(error, file=sys.stderr)
        return 2
    except FAILURES as error:
        print(f"\nThe demo failed: {error}\nLogs are in {STATE.relative_to(LOCAL.parent)}.", file=sys.stderr)
        _halt(site)
        return 1
    except KeyboardInterrupt:
        _halt(site)
        return 130
    with tell.step("Take everything down"):
        _clear(site)
        release_docker()
    print(f"\nOne rental from offer to deletion, in {tell.total_s:.0f} s.")
    return 0


def _site(tell: Narrator) -> Site:
    """With a proxy, where one can run."""
    site = Site(STATE, free_port(), GRACE_S, HEARTBEAT_S, tunnel_port=free_port(), https_port=free_port(), proxies=1)
    try:
        site.local_proxies.check_readable()
    except ProxyError as error:
        tell.say(f"Without a proxy: {error}")
        return replace(site, proxies=0)
    return site


def _play(rental: Rental) -> None:
    acts = (
        ("The client looks at the offers", rental.choose),
        (f"The client rents one GPU for {DURATION_S} s", rental.rent),
        ("The limits, read back from the kernel and Docker", rental.check_limits),
        ("The client stops the instance", rental.stop),
        ("The client starts it again", rental.start),
        ("The host's owner extends the contract", rental.extend),
        ("The contract expires at its new end", rental.expire),
        (f"After the grace ({GRACE_S} s here, 48 h by default) everything is deleted", rental.delete),
    )
    for title, act in acts:
        with rental.tell.step(title):
            act()


_NAMES = {"direct": "the host's own address", "proxy": "the proxy"}


def _visit(visit: Visit) -> None:
    acts = (
        (
            f"The client rents a GPU with JupyterLab, by {_NAMES[visit.via]}, in a busybox image",
            visit.rent,
        ),
        ("The client logs in by ssh", visit.log_in),
        ("The client runs a cell of a notebook in a real browser", visit.open_notebook),
        ("The client ends the contract early", visit.end),
    )
    for title, act in acts:
        with visit.tell.step(title):
            act()


def _halt(site: Site) -> None:
    """Leave nothing running, but keep the logs."""
    site.stop()
    remove_containers(site.state, dockerd.ensure(LOCAL / "docker").docker_host)


def _clear(site: Site) -> None:
    """Leave nothing of this demo or of one that was killed."""
    _halt(site)
    for folder in (site.state, site.local_proxies.state):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
