"""`make up`: the service stays up on one plain URL until `make down`."""

from __future__ import annotations

import argparse
import sys

from local.explain import FAILED, MISSING, explain
from local.proxies import MOST, ensure_packages
from local.site import LOCAL, Site
from local.supervise import ProcessError

CREDENTIALS = LOCAL / "credentials.json"


def main() -> int:
    """Start, and say where it is; exits 2 with a sentence when something is in the way."""
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--grace-s", type=int, help="seconds between expiry and deletion; 48 h when left out")
    parser.add_argument(
        "--proxies", type=int, choices=range(MOST + 1), default=0, help="for clients of hosts behind NAT"
    )
    options = parser.parse_args()
    try:
        if options.proxies:
            ensure_packages()
        running = Site(LOCAL / "up", options.port, options.grace_s, proxies=options.proxies).start()
    except (*MISSING, *FAILED) as error:
        print(error if isinstance(error, ProcessError) else explain(error), file=sys.stderr)
        return 2
    running.credentials.write(CREDENTIALS)
    print(f"GPULease is up on {running.cloud.front_url}; keys in {CREDENTIALS.relative_to(LOCAL.parent)}.")
    print(f"Try: curl -H 'Authorization: Bearer {running.credentials.client_key}' {running.cloud.front_url}/v1/offers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
