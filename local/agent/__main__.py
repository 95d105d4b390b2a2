"""Command line of the stand-in agent."""

import json
import logging
import os
import signal
import sys

from local.agent.agent import Agent
from local.agent.identity import IdentityError
from local.agent.settings import parse_settings
from local.agent.wire import WireError

EXIT_REFUSED = 2


def main() -> int:
    """Run the agent; the first line on stdout is {"instance_id": "mi-…"}."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    agent = Agent(parse_settings(sys.argv[1:], os.environ), os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    try:
        agent.claim()
        print(json.dumps({"instance_id": agent.register()}), flush=True)
        agent.run()
    except (IdentityError, WireError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
