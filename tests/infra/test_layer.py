"""The dependency layer: how it is built, that it holds what functions import, and that nobody deploys without it."""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infra.config import STAGES
from infra.constructs.layer import layer_directory
from infra.layer import LayerBuildError, LayerMissingError, build, built_fingerprint, find_python, fingerprint
from infra.paths import CONSTRAINTS, FUNCTIONS, LAYER_PLACEHOLDER, REQUIREMENTS
from tests.infra.synthesis import stand_in_layer

# What a distribution is called where its name is not that of its package.
IMPORTED_AS = {"aws-lambda-powertools": "aws_lambda_powertools"}
OF_THE_RUNTIME = {"boto3", "botocore"}
OURS = {"rental", "handlers"}


class RecordedRun:
    """Stands for the programs that the build starts."""

    def __init__(self, target: Path, answer: int = 0) -> None:
        self.commands: list[list[str]] = []
        self._target = target
        self._answer = answer

    def __call__(self, command: Sequence[str]) -> int:
        self.commands.append(list(command))
        (self._target / "python" / "bin").mkdir(parents=True, exist_ok=True)
        (self._target / "python" / "stub.pyi").touch()
        return self._answer


def test_pip_is_asked_for_wheels_of_lambda_s_platform_alone(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path / "layer")
    build(run, tmp_path / "layer")
    (pip,) = run.commands
    text = " ".join(pip)
    assert "--only-binary :all:" in text
    assert "--platform manylinux2014_aarch64" in text
    assert "--python-version 3.13" in text
    assert f"--constraint {CONSTRAINTS}" in text


def test_without_the_right_python_the_build_says_that_it_has_no_bytecode(tmp_path: Path) -> None:
    note = build(RecordedRun(tmp_path / "layer"), tmp_path / "layer")
    assert note == "Built without bytecode: no python3.13 here. Cold starts take about twice as long."


def test_with_it_bytecode_is_compiled_once_and_for_all(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path / "layer")
    assert build(run, tmp_path / "layer", "/usr/bin/python3.13").startswith("Built with bytecode")
    compiled = " ".join(run.commands[1])
    assert "--invalidation-mode unchecked-hash" in compiled
    assert "-p /opt/python" in compiled


def test_a_python_that_does_not_start_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_python(RecordedRun(tmp_path, answer=127)) is None
    assert find_python(RecordedRun(tmp_path, answer=0)) == str(shim)


def test_a_build_that_fails_leaves_nothing_that_looks_built(tmp_path: Path) -> None:
    with pytest.raises(LayerBuildError):
        build(RecordedRun(tmp_path / "layer", answer=1), tmp_path / "layer")
    assert not (tmp_path / "layer").exists()


def test_what_is_of_no_use_in_a_function_is_left_out(tmp_path: Path) -> None:
    build(RecordedRun(tmp_path / "layer"), tmp_path / "layer")
    assert not list((tmp_path / "layer" / "python").iterdir())


def test_a_deployment_without_the_layer_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(LayerMissingError, match=r"run `make layer` first"):
        layer_directory(STAGES["prod"], tmp_path / "nowhere")


def test_a_layer_of_other_versions_is_refused_too(tmp_path: Path) -> None:
    built = stand_in_layer(tmp_path / "layer")
    assert layer_directory(STAGES["dev"], built) == built
    (built / "FINGERPRINT").write_text("of last year")
    with pytest.raises(LayerMissingError, match="older"):
        layer_directory(STAGES["dev"], built)


def test_the_local_cloud_never_carries_the_layer(tmp_path: Path) -> None:
    assert layer_directory(STAGES["local"], stand_in_layer(tmp_path / "layer")) == LAYER_PLACEHOLDER
    assert built_fingerprint(LAYER_PLACEHOLDER) is None


def test_the_fingerprint_is_the_layer_s_alone() -> None:
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 64


def test_the_layer_covers_every_import_of_the_functions() -> None:
    wanted = (line.strip().lower() for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#"))
    carried = {IMPORTED_AS.get(name, name) for name in wanted if name}
    imported = {name for source in FUNCTIONS.rglob("*.py") for name in _imports(ast.parse(source.read_text()))}
    foreign = imported - OURS - OF_THE_RUNTIME - set(sys.stdlib_module_names)
    assert foreign <= carried


def _imports(tree: ast.Module) -> Iterator[str]:
    """Top-level names imported when the code runs, not those that only annotations need."""
    checked = {id(node) for branch in ast.walk(tree) if _only_for_types(branch) for node in ast.walk(branch)}
    for node in ast.walk(tree):
        if id(node) in checked:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
