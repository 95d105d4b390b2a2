"""The OpenAPI document: sound, whole, and without a reference into nothing."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from aws_lambda_powertools.event_handler.openapi.models import OpenAPI

from rental.api.document import build_document
from rental.api.errors import every_error, status_of
from rental.api.schemas import A_RENTAL, OpenContract

DOCUMENT = build_document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
EVERY = [(f"{method} {path}", each) for path, methods in DOCUMENT["paths"].items() for method, each in methods.items()]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_is_an_openapi_document() -> None:
    OpenAPI.model_validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_schema_is_sound_and_used() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    used = {each.removeprefix("#/components/schemas/") for each in references(DOCUMENT)}
    assert used == set(SCHEMAS) - {"ErrorCode"}


@pytest.mark.parametrize(("route", "operation"), EVERY, ids=[route for route, _ in EVERY])
def test_an_operation_tells_how_it_fails(route: str, operation: dict[str, Any]) -> None:
    statuses = set(operation["responses"])
    assert "500" in statuses
    assert ({"401", "403"} <= statuses) == any("api_key" in each for each in operation["security"])
    if "requestBody" in operation:
        assert "400" in statuses
    if "{" in route:
        assert "404" in statuses


def test_a_rental_tells_everything_that_can_be_answered() -> None:
    rental = DOCUMENT["paths"]["/v1/contracts"]["post"]
    ours = {"201", "400", "401", "403", "404", "409", "422", "500"}
    assert set(rental["responses"]) == ours | {"413", "429", "503"}
    assert rental["requestBody"]["required"] is True
    (key,) = rental["parameters"]
    assert (key["name"], key["in"]) == ("Idempotency-Key", "header")
    assert rental["security"] == [{"api_key": ["client"]}, {"api_key": ["admin"]}]


def test_lists_take_a_cursor_and_a_limit() -> None:
    listed = DOCUMENT["paths"]["/v1/contracts"]["get"]
    assert [each["name"] for each in listed["parameters"]] == ["cursor", "limit"]
    assert SCHEMAS["ContractList"]["required"] == ["items", "next"]


def test_a_body_of_which_nothing_is_required_may_be_left_out() -> None:
    start = DOCUMENT["paths"]["/v1/contracts/{contract_id}/start"]["post"]
    assert start["requestBody"]["required"] is False


def test_every_error_code_has_its_status_and_its_meaning() -> None:
    told = {each["const"]: each["title"] for each in SCHEMAS["ErrorCode"]["oneOf"]}
    assert told == {kind.code: str(int(status_of(kind("")))) for kind in every_error()}
    assert all(each["description"] for each in SCHEMAS["ErrorCode"]["oneOf"])


def test_the_example_of_a_rental_is_one() -> None:
    OpenContract.model_validate_json(json.dumps(A_RENTAL))
    assert SCHEMAS["OpenContract"]["examples"] == [A_RENTAL]


def test_the_document_is_the_same_each_time() -> None:
    assert json.dumps(build_document()) == json.dumps(DOCUMENT)
