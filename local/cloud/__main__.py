"""`python -m local.cloud --state-dir D --front-port 8080 [--grace-s N]`: run a local cloud in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local.cloud.launch import LaunchError, become_cloud, prepare
from local.synth import SynthesisError


def main() -> int:
    """Prepare, then become the cloud."""
    options = _parse()
    context = dict(pair.partition("=")[::2] for pair in options.context)
    if options.grace_s is not None:
        context["grace_s"] = str(options.grace_s)
    try:
        settings = prepare(options.state_dir.resolve(), options.front_port, assembly=options.assembly, context=context)
    except (LaunchError, SynthesisError) as error:
        print(error, file=sys.stderr)
        return 2
    become_cloud(settings)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description="Run the local cloud.")
    parser.add_argument("--state-dir", type=Path, required=True, help="what lasts between starts")
    parser.add_argument("--front-port", type=int, default=8080, help="the service's one plain URL")
    parser.add_argument("--grace-s", type=int, help="seconds between a contract's end and its deletion")
    parser.add_argument("--assembly", type=Path, help="a synthesized assembly, instead of this project's own")
    parser.add_argument("--context", action="append", default=[], metavar="KEY=VALUE", help="a CDK context value")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
