"""The host's toolkit for modes ssh and jupyter, built once for every local host and test of this checkout.

python -m local.toolkits
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from gpulease_host.toolkit import packages
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.store import ToolkitStore
from local import dockerd_packages
from local.dockerd_packages import ROOT_PATH

TOOLKITS = Path(os.environ.get("GPULEASE_TOOLKIT_DIR") or Path(__file__).resolve().parents[1] / ".cache" / "toolkit")
# With which tests make images like those of clients.
FOR_TESTS = {"musl-tools": "musl-gcc", "debootstrap": "debootstrap", "e2fsprogs": "chattr"}


def ensure() -> Path:
    """Raises ToolkitError, or MissingPackagesError with the line that installs what is missing."""
    absent = [package for package, program in FOR_TESTS.items() if shutil.which(program, path=ROOT_PATH) is None]
    dockerd_packages.provide_without_starting([*packages.missing(), *absent])
    store = ToolkitStore(TOOLKITS)
    if not store.is_fresh():
        print("building the toolkit for ssh and jupyter: a minute, once", flush=True)
    return store.ensure()


if __name__ == "__main__":
    try:
        print(f"toolkit: {ensure()}")
    except (ToolkitError, dockerd_packages.MissingPackagesError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
