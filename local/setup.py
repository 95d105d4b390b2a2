"""`make setup`: what the service needs of this machine beside Python."""

from __future__ import annotations

import sys

from gpulease_host.toolkit.errors import ToolkitError
from local import dockerd, dockerd_packages, images, proxies, registry, toolkits
from local.site import LOCAL


def main() -> int:
    """Docker and an image, or 2 with the line to run where only the owner of the machine can do it.

    Without toolkit, proxy and registry the rest runs.
    """
    try:
        docker = dockerd.ensure(LOCAL / "docker")
        images.ensure(docker.docker_host)
    except (dockerd.DockerdError, dockerd_packages.MissingPackagesError, images.ImageError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        registry.ensure()
    except registry.RegistryError as error:
        print(f"{error} Tests of private images need it, nothing else does.", file=sys.stderr)
    print(docker.note)
    try:
        proxies.ensure_packages()
        print(f"toolkit for ssh and jupyter: {toolkits.ensure()}")
    except (dockerd_packages.MissingPackagesError, ToolkitError) as error:
        print(f"modes ssh and jupyter are not to be had here: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
