"""`make down` stops what `make up` started; `make clean` forgets its state, and what the demo left, as well."""

from __future__ import annotations

import argparse
import shutil
import sys

from local import dockerd, images, leftovers
from local.dockerd_files import DEFAULT_SOCKET
from local.dockerd_packages import MissingPackagesError
from local.site import LOCAL, Site, release_docker


def main() -> int:
    parser = argparse.ArgumentParser(prog="make down", description=__doc__)
    parser.add_argument("--forget", action="store_true", help="remove containers, data and keys too")
    options = parser.parse_args()
    sites = [Site(LOCAL / name, 0) for name in (("up", "demo", "bench") if options.forget else ("up",))]
    stopped = [site.stop() for site in sites]
    print("Stopped." if any(stopped) else "Nothing was running.")
    if not options.forget:
        release_docker()
        _warn_of_containers()
        return 0
    try:
        return _forget(sites)
    except (dockerd.DockerdError, MissingPackagesError) as error:
        print(error, file=sys.stderr)
        return 2


def _forget(sites: list[Site]) -> int:
    """Docker is started only where containers may lie in one that does not run."""
    docker = dockerd.find(LOCAL / "docker")
    if docker is None and any(leftovers.host_of(site.state) for site in sites):
        docker = dockerd.ensure(LOCAL / "docker")
    if docker is not None:
        for site in sites:
            leftovers.remove_containers(site.state, docker.docker_host)
        if docker.is_foreign:
            images.remove(docker.docker_host)
    if not dockerd.stop(LOCAL / "docker"):
        print("Docker still runs containers of others: it stays.")
        return 0
    shutil.rmtree(LOCAL, ignore_errors=True)
    print("All local state is gone.")
    return 0


def _warn_of_containers() -> None:
    running = leftovers.count_running(LOCAL / "up", DEFAULT_SOCKET)
    if running:
        print(f"{running} containers keep running, and nothing here ends them: `make up` again, or `make clean`.")


if __name__ == "__main__":
    sys.exit(main())
