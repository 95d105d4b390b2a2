"""From settings to a cloud assembly, with nothing read but files of this repository: no AWS call, git or network.

`python -m infra.synth -c stage=local -c grace_s=10 --output cdk.out` does what `cdk synth` does, without the CDK's
command line, which a local deployment does not need.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aws_cdk as cdk

from infra.config import StageError, choose_stage
from infra.layer import LayerMissingError
from infra.paths import LAYER, ROOT
from infra.stacks.data import DataStack
from infra.stacks.host import HostStack
from infra.stacks.proxy import ProxyStack
from infra.stacks.service import ServiceStack
from infra.stacks.wiring import STAGE_TAG

# What the CDK's command line passes on of the settings in cdk.json, so that both make the same templates.
PLAIN_TEMPLATES = {
    "aws:cdk:enable-path-metadata": False,
    "aws:cdk:enable-asset-metadata": False,
    "aws:cdk:version-reporting": False,
}


def build_app(overrides: Mapping[str, str] | None = None, output: Path | None = None, layer: Path = LAYER) -> cdk.App:
    """The application with all its stacks; `.synth()` writes it. The CDK's own `-c` wins over `overrides`."""
    context = {**PLAIN_TEMPLATES, **json.loads((ROOT / "cdk.json").read_text())["context"], **(overrides or {})}
    app = cdk.App(context=context, outdir=str(output) if output else None)
    stage = choose_stage(app.node.get_all_context())
    prefix = f"GpuLease-{stage.name}"
    data = DataStack(app, f"{prefix}-Data", stage=stage)
    host = HostStack(app, f"{prefix}-Host")
    service = ServiceStack(app, f"{prefix}-Service", stage=stage, layer=layer, data=data, host=host)
    if stage.proxy is not None and stage.proxy_machines is not None:
        ProxyStack(app, f"{prefix}-Proxy", proxy=stage.proxy, machines=stage.proxy_machines, service=service)
    cdk.Tags.of(app).add(STAGE_TAG, stage.name)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.synth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-c", "--context", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "cdk.out")
    options = parser.parse_args(arguments)
    overrides = {name: value for name, _, value in (pair.partition("=") for pair in options.context)}
    try:
        build_app(overrides, options.output).synth()
    except (StageError, LayerMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
