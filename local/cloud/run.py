"""`python -m local.cloud.run STATE`: the cloud's process itself, in the bare environment made for it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from local.cloud import emulator
from local.cloud.server import Cloud
from local.cloud.settings import CloudSettings, read_settings


def main() -> int:
    """Check the emulator, then serve until told to stop."""
    settings = read_settings(Path(sys.argv[1]))
    if settings is None:
        print(f"{sys.argv[1]} holds no settings; start with `python -m local.cloud`.", file=sys.stderr)
        return 2
    emulator.check_private_names()
    emulator.shorten_waits()
    emulator.publish_http_apis_at(settings.front_url)
    return asyncio.run(_serve(settings))


async def _serve(settings: CloudSettings) -> int:
    return await Cloud(settings, os.getpid()).run()


if __name__ == "__main__":
    sys.exit(main())
