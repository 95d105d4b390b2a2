"""Holds dpkg's lock, as unattended upgrades do, for so many seconds. `python -m tests.vm.inside.holding SECONDS`"""

from __future__ import annotations

import fcntl
import sys
import time
from pathlib import Path

LOCK = Path("/var/lib/dpkg/lock-frontend")

if __name__ == "__main__":
    with LOCK.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        print("held", flush=True)
        time.sleep(float(sys.argv[1]))
