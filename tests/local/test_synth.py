"""Synthesis runs again only when something that it depends on has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import synth

APP = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir()
(out / "manifest.json").write_text(os.environ["CDK_CONTEXT_JSON"])
with open("runs", "a") as runs:
    runs.write("x")
"""


def make_project(root: Path, app: str = APP) -> Path:
    (root / "app.py").write_text(app)
    (root / "cdk.json").write_text('{"context": {"flag": true, "stage": "dev"}}')
    (root / "functions").mkdir()
    (root / "functions" / "f.py").write_text("a = 1")
    return root


def runs(root: Path) -> int:
    return len((root / "runs").read_text())


def test_the_same_content_is_synthesized_once(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    first = synth.cached_assembly(root, {})
    assert synth.cached_assembly(root, {}) == first
    assert runs(root) == 1


def test_changed_code_or_context_is_synthesized_again(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    synth.cached_assembly(root, {})
    synth.cached_assembly(root, {"grace_s": "10"})
    (root / "functions" / "f.py").write_text("a = 2")
    synth.cached_assembly(root, {})
    assert runs(root) == 3


def test_compiled_leftovers_change_nothing(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    synth.cached_assembly(root, {})
    (root / "functions" / "__pycache__").mkdir()
    (root / "functions" / "__pycache__" / "f.pyc").write_bytes(b"x")
    synth.cached_assembly(root, {})
    assert runs(root) == 1


def test_the_stage_and_overrides_win_over_the_declared_context(tmp_path: Path) -> None:
    assembly = synth.cached_assembly(make_project(tmp_path), {"grace_s": "10"})
    assert (assembly / "manifest.json").read_text() == '{"flag": true, "stage": "local", "grace_s": "10"}'


def test_a_failing_application_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    root = make_project(tmp_path, app="raise SystemExit('no such stage')")
    with pytest.raises(synth.SynthesisError, match="no such stage"):
        synth.cached_assembly(root, {})
    assert not list((root / ".cache" / "cdk").iterdir())
