"""Command documents, schema 2.2: what is a valid one, and which parameter values it takes.

The agent checks the values again by the same functions, as the real one does.
"""

import json
from collections.abc import Mapping
from typing import Any

from local.ssm.errors import SsmError
from local.ssm.model import JsonObject
from local.ssm.patterns import PatternError, compile_pattern, matches

SCHEMA_VERSION = "2.2"
DEFAULT_STEP_TIMEOUT_S = 3600
MIN_STEP_TIMEOUT_S = 5
MAX_STEP_TIMEOUT_S = 28_800

_PARAMETER_TYPES = ("String", "StringList")


def parse_document(content: str | Mapping[str, Any]) -> JsonObject:
    """Read a document's content and refuse one that could never run."""
    try:
        document = json.loads(content) if isinstance(content, str) else dict(content)
    except ValueError as error:
        raise SsmError("InvalidDocumentContent", f"The document is not valid JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schemaVersion") != SCHEMA_VERSION:
        raise SsmError("InvalidDocumentSchemaVersion", f"Only schema version {SCHEMA_VERSION} is served.")
    steps = document.get("mainSteps")
    if not isinstance(steps, list) or not steps or not all(_is_step(step) for step in steps):
        raise SsmError("InvalidDocumentContent", "Each of mainSteps needs an action, a name and inputs.")
    for name, parameter in document.get("parameters", {}).items():
        _check_declaration(name, parameter)
    return document


def resolve_parameters(document: JsonObject, given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the values of all parameters, defaults filled in, each within what the document allows."""
    declared = document.get("parameters", {})
    for name in given:
        if name not in declared:
            raise _invalid(f"Parameter {name} is not defined in the document.")
    resolved: dict[str, list[str]] = {}
    for name, declaration in declared.items():
        values = given.get(name, _default(declaration))
        if values is None:
            raise _invalid(f"Parameter {name} is required.")
        _check_values(name, declaration, values)
        resolved[name] = list(values)
    return resolved


def wire_parameters(document: JsonObject, values: Mapping[str, list[str]]) -> JsonObject:
    """Shape the values as a message to an agent carries them: a String is one string."""
    declared = document.get("parameters", {})
    return {name: value[0] if declared[name]["type"] == "String" else value for name, value in values.items()}


def execution_timeout_s(document: JsonObject) -> int:
    """Add up how long the steps may run."""
    return sum(step_timeout_s(step["inputs"].get("timeoutSeconds")) for step in document["mainSteps"])


def step_timeout_s(value: Any) -> int:
    """Read a step's timeoutSeconds as the agent does: out of range means an hour."""
    try:
        seconds = int(float(value))
    except (TypeError, ValueError):
        return DEFAULT_STEP_TIMEOUT_S
    return seconds if MIN_STEP_TIMEOUT_S <= seconds <= MAX_STEP_TIMEOUT_S else DEFAULT_STEP_TIMEOUT_S


def _is_step(step: Any) -> bool:
    return (
        isinstance(step, dict)
        and isinstance(step.get("action"), str)
        and isinstance(step.get("name"), str)
        and isinstance(step.get("inputs"), dict)
    )


def _check_declaration(name: str, parameter: Any) -> None:
    if not isinstance(parameter, dict) or parameter.get("type") not in _PARAMETER_TYPES:
        raise SsmError("InvalidDocumentContent", f"Parameter {name} must be one of {', '.join(_PARAMETER_TYPES)}.")
    if not name.isalnum():
        raise SsmError("InvalidDocumentContent", f"Parameter name {name} must be alphanumeric.")
    try:
        compile_pattern(parameter.get("allowedPattern", ""))
    except PatternError as error:
        raise SsmError("InvalidDocumentContent", f"Parameter {name}: {error}") from error


def _default(declaration: JsonObject) -> list[str] | None:
    default = declaration.get("default")
    return [default] if isinstance(default, str) else default


def _check_values(name: str, declaration: JsonObject, values: Any) -> None:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _invalid(f"Parameter {name} must be a list of strings.")
    if declaration["type"] == "String" and len(values) != 1:
        raise _invalid(f"Parameter {name} takes exactly one value.")
    allowed, pattern = declaration.get("allowedValues"), declaration.get("allowedPattern")
    for value in values:
        if allowed and value not in allowed:
            raise _invalid(f"Parameter {name} is not one of the allowed values.")
        if pattern and not matches(pattern, value):
            raise _invalid(f"Parameter {name} does not match the allowed pattern {pattern}")
        if not len(value) <= int(declaration.get("maxChars", len(value))):
            raise _invalid(f"Parameter {name} is longer than the document allows.")


def _invalid(message: str) -> SsmError:
    return SsmError("InvalidParameters", message)
