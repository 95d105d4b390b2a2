"""Answers held against the API's description: status, code and every field, none missing and none unknown."""

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from rental.api.document import build_document

SCHEMA = "application/json"


@cache
def document() -> dict[str, Any]:
    """The document as served, but its objects closed: a field that it does not tell of is an error here."""
    made = build_document()
    for schema in made["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return made


def check_documented(method: str, path: str, status: int, body: Any) -> None:
    """Fails for an answer that the document does not describe; routes that it does not know are let pass."""
    responses = _responses(method, path)
    if responses is None:
        return
    assert str(status) in responses, f"{method} {path} answers {status}, which is not documented: {body}"
    schema = responses[str(status)]["content"][SCHEMA]["schema"]
    validator = Draft202012Validator({**schema, "components": document()["components"]})
    found = next(validator.iter_errors(body), None)
    assert found is None, f"{method} {path} answers {status} with {body}, but documented is: {found}"


def _responses(method: str, path: str) -> dict[str, Any] | None:
    for template, methods in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in methods:
            found: dict[str, Any] = methods[method.lower()]["responses"]
            return found
    return None
