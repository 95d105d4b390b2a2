"""What the agent is told at its start."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PING_INTERVAL_S = 300.0


@dataclass(frozen=True)
class Settings:
    """The agent's options; `activation` is (id, code) for a machine that is to register first."""

    endpoint: str
    region: str
    state_dir: Path
    credentials_file: Path
    script_path: str
    ping_interval_s: float = PING_INTERVAL_S
    activation: tuple[str, str] | None = None


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the command line; paths fall back to the environment as in the AWS tools."""
    parser = argparse.ArgumentParser(prog="python -m local.agent", description="A stand-in for amazon-ssm-agent.")
    parser.add_argument("--endpoint", required=True, help="URL of the AWS endpoint")
    parser.add_argument("--region", required=True)
    parser.add_argument("--state-dir", required=True, type=Path, help="keys, and which commands have run")
    parser.add_argument("--register", nargs=2, metavar=("CODE", "ID"), help="register with this activation first")
    parser.add_argument("--credentials-file", type=Path, help="shared AWS credentials file to keep fresh")
    parser.add_argument("--path", help="PATH of the scripts")
    parser.add_argument("--ping-interval-s", type=float, default=PING_INTERVAL_S)
    options = parser.parse_args(arguments)
    shared = environment.get("AWS_SHARED_CREDENTIALS_FILE") or str(Path.home() / ".aws" / "credentials")
    return Settings(
        endpoint=options.endpoint,
        region=options.region,
        state_dir=options.state_dir,
        credentials_file=options.credentials_file or Path(shared),
        script_path=options.path or environment.get("PATH", os.defpath),
        ping_interval_s=options.ping_interval_s,
        activation=(options.register[1], options.register[0]) if options.register else None,
    )
