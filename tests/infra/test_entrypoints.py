"""Each function of the list exists, and is told all that its code asks for: nothing missing, nothing idle."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from infra.entrypoints import ENTRY_POINTS, EVERYWHERE
from infra.paths import FUNCTIONS
from infra.routes import FALLBACK, ROUTES
from rental.adapters import settings

WIRING = FUNCTIONS / "rental" / "adapters" / "wiring.py"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_handler_stands_where_the_entry_point_says(name: str) -> None:
    tree = ast.parse((FUNCTIONS / "handlers" / f"{name}.py").read_text())
    assert "handler" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} | _assigned(tree)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_function_is_told_exactly_what_its_code_reads(name: str) -> None:
    asked = set(_variables(FUNCTIONS / "handlers" / f"{name}.py"))
    assert set(ENTRY_POINTS[name].env) | {"STAGE"} == asked | {"STAGE"}


def test_every_route_is_answered_by_a_function_of_the_list() -> None:
    answering = {route.function for route in (*ROUTES, FALLBACK)}
    assert answering == {name for name in ENTRY_POINTS if name.startswith("api_")}


def test_settings_that_all_have_are_not_listed_again() -> None:
    for entry in ENTRY_POINTS.values():
        assert not set(entry.env) & set(EVERYWHERE)
        assert len(set(entry.env)) == len(entry.env)


def _variables(handler: Path) -> Iterator[str]:
    """The environment variables behind the settings classes that a handler uses, itself or through the wiring."""
    for name in _settings_of(ast.parse(handler.read_text()), _wiring()):
        yield from (field.name.upper() for field in fields(getattr(settings, name)))


def _settings_of(tree: ast.AST, wiring: dict[str, ast.AST]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="from_env"), args=[ast.Name(id=name)]):
                yield name
            case ast.Attribute(value=ast.Name(id="wiring"), attr=name):
                yield from _settings_of(wiring[name], wiring)
            case ast.Call(func=ast.Name(id=name)) if name in wiring:
                yield from _settings_of(wiring[name], wiring)
            case ast.ImportFrom(module=str(module)) if module.startswith("handlers."):
                source = FUNCTIONS / f"{module.replace('.', '/')}.py"
                yield from _settings_of(ast.parse(source.read_text()), wiring)


def _wiring() -> dict[str, ast.AST]:
    tree = ast.parse(WIRING.read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _assigned(tree: ast.Module) -> set[str]:
    targets = (target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets)
    return {target.id for target in targets if isinstance(target, ast.Name)}
