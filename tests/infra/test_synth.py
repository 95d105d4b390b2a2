"""Synthesis is pure: no credentials, no network, the same bytes again; and it says what is wrong in a sentence."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.paths import ROOT
from infra.synth import main
from tests.infra.synthesis import Synthesized, synthesize


def _synthesize_bare(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """With nothing in the environment but where to find programs."""
    command = [sys.executable, "-m", "infra.synth", "-c", "stage=local", "-c", "grace_s=10", "--output", str(folder)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*before, *command], cwd=folder.parent, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_it_needs_no_credentials_and_gives_the_same_again(local: Synthesized, tmp_path: Path) -> None:
    done = _synthesize_bare(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert _contents(tmp_path / "out") == _contents(local.folder)


def test_production_gives_the_same_again(tmp_path: Path) -> None:
    first, second = (synthesize(tmp_path / name, {"stage": "prod"}) for name in ("first", "second"))
    assert _contents(first.folder) == _contents(second.folder)


def _contents(folder: Path) -> dict[str, bytes]:
    """Every file of an assembly: templates, lists of assets, the assets themselves."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len([name for name in found if name.endswith(".template.json")]) == 3
    return found


@pytest.mark.slow
def test_it_needs_no_network(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    isolated = (unshare, "--net", "--map-root-user") if unshare else ()
    if not isolated or subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine gives no network namespace")
    done = _synthesize_bare(tmp_path / "out", *isolated)
    assert done.returncode == 0, done.stderr


def test_a_wrong_setting_ends_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "stage=moon"]) == 1
    assert capsys.readouterr().err == "stage 'moon' is not one of dev, local, prod\n"


def test_a_misspelt_setting_ends_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "grase_s=10"]) == 1
    assert capsys.readouterr().err == "grase_s is not a setting: did you mean grace_s?\n"


def test_the_cdks_command_line_is_told_the_same(tmp_path: Path) -> None:
    context = {"grase_s": "10", "aws:cdk:enable-path-metadata": True, "acknowledged-issue-numbers": [1]}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(tmp_path / "out"),
    }
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "grase_s is not a setting: did you mean grace_s?\n")
