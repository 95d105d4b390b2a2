"""How large a function is, unzipped: the wheels of the layer, gathered as for a deployment, and our own code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.layer import build
from infra.paths import FUNCTIONS
from local.bench.figures import Figure

TARGET_MB = 30
OF_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
"""What Lambda brings, also where a wheel of ours asks for it."""


def figures(folder: Path) -> list[Figure]:
    """Builds the layer anew in `folder`; raises LayerBuildError where pip cannot reach what it needs."""
    build(_run, folder)
    packages = folder / "python"
    ours = _bytes(FUNCTIONS)
    carried = [path for path in packages.iterdir() if path.name not in OF_THE_RUNTIME]
    total = ours + sum(_bytes(path) for path in carried)
    print("\nThe bundle, in MB:")
    for path in sorted(carried, key=_bytes, reverse=True)[:5]:
        print(f"  {path.name}: {_bytes(path) / 1e6:.1f}")
    print(f"  our own code: {ours / 1e6:.1f}")
    return [Figure("bundle, unzipped", total / 1e6, TARGET_MB, "MB")]


def _bytes(path: Path) -> int:
    """Without bytecode, which is not in the wheels."""
    files = (path, *path.rglob("*"))
    return sum(each.stat().st_size for each in files if each.is_file() and each.suffix != ".pyc")


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode
