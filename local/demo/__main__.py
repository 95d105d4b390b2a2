"""`python -m local.demo`: set a site up from nothing, play the rental, take everything down again.

It ends with 0 when everything that this machine can do came out as promised, with 1 when something did not, and with 2
when something is missing that only the machine's owner can provide. A sentence says what, and nothing is left running.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from dataclasses import replace

from gpulease_host.toolkit.errors import ToolkitError
from local import dockerd, dockerd_packages, proxies, toolkits
from local.demo import browser
from local.demo.narration import Narrator
from local.demo.patience import PatientClient
from local.demo.rental import Rental, duration_on
from local.demo.ways_in import Visit
from local.dockerd_packages import MissingPackagesError
from local.explain import FAILED, MISSING, explain
from local.leftovers import remove_containers
from local.ports import free_port
from local.proxies import DEMO_NUMBERS, ProxyError
from local.site import LOCAL, Running, Site, release_docker

GRACE_S = 10
HEARTBEAT_S = 5
STATE = LOCAL / "demo"
PICTURE = LOCAL / "jupyterlab.png"


def main() -> int:
    tell = Narrator()
    site = _site()
    try:
        _clear(site)
        site, started = _start(site, tell)
        running = replace(started, client_type=PatientClient)
        _play(Rental(running, tell, {}, {}, duration_on(tell.total_s)))
        if _serves_ways_in(tell):
            _visit_all(site, running, tell)
    except MISSING as error:
        print(f"\n{explain(error)}", file=sys.stderr)
        _halt_if_possible(site)
        return 2
    except FAILED as error:
        where = STATE.relative_to(LOCAL.parent)
        print(f"\nThe demo failed: {explain(error)}\nLogs are in {where}; `make demo` begins anew.", file=sys.stderr)
        _halt_if_possible(site)
        return 1
    except KeyboardInterrupt:
        _halt_if_possible(site)
        return 130
    with tell.step("Take everything down"):
        _clear(site)
        release_docker()
    print(f"\nOne rental from offer to deletion, in {tell.total_s:.0f} s.")
    return 0


def _site() -> Site:
    return Site(
        STATE,
        free_port(),
        GRACE_S,
        HEARTBEAT_S,
        proxies=1,
        tunnel_port=free_port(),
        https_port=free_port(),
        proxy_numbers=DEMO_NUMBERS,
    )


def _start(site: Site, tell: Narrator) -> tuple[Site, Running]:
    """With a proxy, where one can run."""
    with tell.step("Start the service, and make this machine a host"):
        try:
            proxies.ensure_packages()
            running = site.start(tell.say)
        except (MissingPackagesError, ProxyError) as error:
            tell.say(f"Without a proxy: {error}")
            site.stop()
            site = replace(site, proxies=0)
            running = site.start(tell.say)
        tell.say(f"serving on {running.cloud.front_url}, host {running.host_id}")
    return site, running


def _play(rental: Rental) -> None:
    acts = (
        ("The client looks at the offers", rental.choose),
        (f"The client rents one GPU for {rental.duration_s} s", rental.rent),
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


def _serves_ways_in(tell: Narrator) -> bool:
    try:
        toolkits.ensure()
    except (MissingPackagesError, ToolkitError) as error:
        tell.say(f"\nThis machine cannot serve the modes ssh and jupyter, so the demo leaves them out: {error}")
        return False
    return True


def _visit_all(site: Site, running: Running, tell: Narrator) -> None:
    has_browser = _has_browser(tell)
    _visit(Visit(running, tell, "direct", PICTURE, site.state / "visit"), has_browser)
    if site.proxies:
        picture, authority = PICTURE.with_stem("jupyterlab-by-proxy"), site.local_proxies.zone_authority
        _visit(Visit(running, tell, "proxy", picture, site.state / "visit-by-proxy", authority), has_browser)


def _has_browser(tell: Narrator) -> bool:
    try:
        dockerd_packages.provide_programs(browser.PROGRAMS)
    except MissingPackagesError as error:
        tell.say(f"\nThere is no Chromium here, so the demo opens no notebook: {error}")
        return False
    return True


_NAMES = {"direct": "the host's own address", "proxy": "the proxy"}


def _visit(visit: Visit, has_browser: bool) -> None:
    acts = [
        (
            f"The client rents a GPU with JupyterLab, by {_NAMES[visit.via]}, in a busybox image",
            visit.rent,
        ),
        ("The client logs in by ssh", visit.log_in),
    ]
    acts += [("The client runs a cell of a notebook in a real browser", visit.open_notebook)] if has_browser else []
    acts += [("The client ends the contract early", visit.end)]
    for title, act in acts:
        with visit.tell.step(title):
            act()


def _halt(site: Site) -> None:
    """Leave nothing running, but keep the logs."""
    site.stop()
    remove_containers(site.state, dockerd.ensure(LOCAL / "docker").docker_host)


def _halt_if_possible(site: Site) -> None:
    """What was in the way of the demo may be in its way too, and has been told."""
    with suppress(*MISSING, *FAILED):
        _halt(site)


def _clear(site: Site) -> None:
    """Leave nothing of this demo or of one that was killed."""
    _halt(site)
    for folder in (site.state, site.local_proxies.state):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
