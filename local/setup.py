"""`make setup`: what the service needs of this machine beside Python."""

from __future__ import annotations

import sys

from gpulease_host.toolkit.errors import ToolkitError
from local import dockerd, dockerd_packages, images, proxies, registry, toolkits
from local.site import LOCAL


def main() -> int:
    """Docker, images, toolkit; exits 2 with the line to run where only the owner of the machine can do it."""
    try:
        docker = dockerd.ensure(LOCAL / "docker")
    except dockerd.DockerdError as error:
        print(error, file=sys.stderr)
        return 2
    images.ensure(docker.docker_host)
    try:
        registry.ensure()
    except registry.RegistryError as error:
        print(f"{error} Tests of private images need it, nothing else does.", file=sys.stderr)
    print(docker.note)
    try:
        print(f"toolkit for ssh and jupyter: {toolkits.ensure()}")
        proxies.ensure_packages()
    except dockerd_packages.MissingPackagesError as error:
        print(error, file=sys.stderr)
        return 2
    except ToolkitError as error:  # the rest of the service runs without
        print(f"modes ssh and jupyter are not to be had here: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
