"""The table of operations is the API as deployed: each route is in it, and each is handled by its namesake."""

import importlib
import inspect
import re

import pytest

from infra.routes import ROUTES
from rental.api.operation import Operation, Proof
from rental.api.operations import OPERATIONS, PARAMETERS

FUNCTIONS = {(route.method, route.path): route.function for route in ROUTES}
ROLES = {"client", "host", "proxy"}


def test_operations_and_routes_are_the_same() -> None:
    assert sorted((each.method, each.path) for each in OPERATIONS) == sorted(FUNCTIONS)


def test_an_operation_asks_for_a_key_where_its_route_does() -> None:
    authorized = {(route.method, route.path) for route in ROUTES if route.authorized}
    assert {(each.method, each.path) for each in OPERATIONS if each.proof is Proof.API_KEY} == authorized


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_an_operation_is_named_after_the_function_that_handles_it(operation: Operation) -> None:
    module = importlib.import_module(f"handlers.{FUNCTIONS[operation.method, operation.path]}")
    source = inspect.getsource(getattr(module, operation.name))
    route = re.sub(r"\{(\w+)\}", r"<\1>", operation.path)
    assert source.startswith(f'@app.{operation.method.lower()}("{route}")')
    assert operation.paged == ("paging(app)" in source)
    assert operation.repeatable == ("repeatable(app)" in source)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_an_operation_says_what_it_takes(operation: Operation) -> None:
    assert {*re.findall(r"\{(\w+)\}", operation.path), *operation.query} <= set(PARAMETERS)
    assert set(operation.roles) <= ROLES
    assert operation.body is None or operation.method in {"POST", "PUT"}
    assert operation.summary.endswith(".")


def test_names_are_unique() -> None:
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)
