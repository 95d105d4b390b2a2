"""`make setup`: what the service needs of this machine beside Python."""

from __future__ import annotations

import sys

from local import dockerd, images, registry
from local.site import LOCAL


def main() -> int:
    """Docker and the images; exits 2 with the line to run where only the owner of the machine can do it."""
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
