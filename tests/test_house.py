"""The house stays tidy: sizes, names and documents are held to what the project says of itself."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.entrypoints import ENTRY_POINTS
from rental.api.errors import STATUS
from rental.domain import errors
from rental.domain.lifecycle import ContractStatus, Desired, InstanceStatus

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("functions", "host", "infra", "local", "proxy")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True)
    return [ROOT / line for line in listed.stdout.decode().splitlines() if (ROOT / line).exists()]


PYTHON_FILES = tracked("*.py")
SOURCE_FILES = [path for path in PYTHON_FILES if path.relative_to(ROOT).parts[0] in SOURCES]


def functions_in(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_tires_its_reader() -> None:
    long = {str(path): lines for path in PYTHON_FILES if (lines := path.read_text().count("\n")) > MAX_FILE_LINES}
    assert not long


def test_no_function_tires_its_reader() -> None:
    long = {
        f"{path}:{node.name}": lines
        for path in PYTHON_FILES
        for node in functions_in(path)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not long


def test_every_module_says_why_it_exists() -> None:
    silent = [
        path for path in SOURCE_FILES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_module_has_a_vague_name() -> None:
    assert not [path for path in SOURCE_FILES if path.stem in VAGUE_NAMES]


def test_exceptions_are_named_errors() -> None:
    badly_named = [
        f"{path}:{node.name}"
        for path in SOURCE_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id.endswith(("Error", "Exception")) for base in node.bases)
        and not node.name.endswith("Error")
    ]
    assert not badly_named


@pytest.mark.parametrize("status", [*ContractStatus, *InstanceStatus, *Desired])
def test_every_status_stands_in_the_lifecycle_document(status: str) -> None:
    assert re.search(rf"\b{status}\b", (ROOT / "docs/lifecycle.md").read_text())


def test_every_error_is_drawn_in_the_tree_with_its_code() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.RentalError) and kind is not errors.RentalError:
            assert re.search(rf"\b{name}\b +{kind.code}\b", errors.__doc__ or ""), f"{name} is not drawn"


def test_every_refusal_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RentalError)]
    internal = {errors.RentalError, errors.TransitionError}
    assert not [kind for kind in kinds if kind not in internal and not set(kind.__mro__) & set(STATUS)]


def test_every_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test", "up", "down"} <= named <= targets


def test_every_folder_of_the_architecture_exists() -> None:
    folders = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    assert folders
    assert not [folder for folder in folders if not (ROOT / folder).exists()]


def test_every_entry_point_is_a_handler_module() -> None:
    assert set(ENTRY_POINTS) <= {path.stem for path in (ROOT / "functions/handlers").glob("*.py")}
