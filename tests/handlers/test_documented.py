"""Handlers do what their operations say: who may call, what is answered. `call` holds every answer of every test in
this folder to the document; here each operation is called, with each role of an account, and what others seldom
reach."""

import importlib
import json
import re

import pytest

from infra.routes import ROUTES
from rental.api.operation import Operation, Proof
from rental.api.operations import OPERATIONS
from rental.ports import Principal
from tests.fakes.documented import check_documented
from tests.fakes.http import Answer, call
from tests.handlers.conftest import Site

FUNCTIONS = {(route.method, route.path): route.function for route in ROUTES}
KEYED = [each for each in OPERATIONS if each.proof is Proof.API_KEY]


def ask(operation: Operation, caller: Principal | None, **details: dict[str, str]) -> Answer:
    """Call an operation on what does not exist."""
    module = importlib.import_module(f"handlers.{FUNCTIONS[operation.method, operation.path]}")
    path = re.sub(r"\{\w+\}", "1", operation.path)
    return call(module.handler, operation.method, path, caller=caller, **details)


@pytest.mark.parametrize("operation", KEYED, ids=lambda each: each.name)
def test_an_operation_is_for_its_roles_and_for_administrators(site: Site, operation: Operation) -> None:
    assert ask(operation, None).code == "unauthenticated"
    for role in ("client", "host", "admin"):
        answer = ask(operation, Principal(f"{role}-of-none", role))
        assert (answer.status == 403) == (role not in (*operation.roles, "admin")), answer.text


@pytest.mark.parametrize("operation", [each for each in KEYED if each.paged], ids=lambda each: each.name)
def test_a_list_takes_a_limit_from_1_to_50(site: Site, operation: Operation) -> None:
    admin = Principal("admin-of-none", "admin")
    assert ask(operation, admin, query={"limit": "51"}).status in (400, 404)
    assert ask(operation, admin, query={"limit": "50"}).status in (200, 404)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.body], ids=lambda each: each.name)
def test_a_body_that_is_no_json_is_a_documented_refusal(site: Site, operation: Operation) -> None:
    module = importlib.import_module(f"handlers.{FUNCTIONS[operation.method, operation.path]}")
    path = re.sub(r"\{\w+\}", "1", operation.path)
    answer = call(module.handler, operation.method, path, "{", caller=Principal("admin-of-none", "admin"))
    assert answer.status in (400, 401, 404)


def test_an_answer_with_a_field_too_many_or_too_few_is_noticed(site: Site) -> None:
    body = site.rent().body
    check_documented("POST", "/v1/contracts", 201, body)
    for wrong in (body | {"password": "x"}, {name: each for name, each in body.items() if name != "delete_after"}):
        with pytest.raises(AssertionError, match="documented is"):
            check_documented("POST", "/v1/contracts", 201, wrong)
    with pytest.raises(AssertionError, match="not documented"):
        check_documented("POST", "/v1/contracts", 200, body)


def test_a_code_that_an_operation_does_not_tell_of_is_noticed() -> None:
    body = json.loads('{"error": {"code": "host_full", "message": "m", "request_id": "r"}}')
    check_documented("POST", "/v1/contracts", 409, body)
    with pytest.raises(AssertionError, match="documented is"):
        check_documented("POST", "/v1/contracts/5/stop", 409, body)
