"""What a command message asks for: read, checked and substituted as the real agent does."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.ssm.documents import SCHEMA_VERSION, step_timeout_s
from local.ssm.patterns import PatternError, matches

SHELL_ACTION = "aws:runShellScript"


class RefusedDocumentError(Exception):
    """A command that must not run; the text goes back as the reply's documentTraceOutput."""


@dataclass(frozen=True)
class Step:
    """A script to run."""

    name: str
    lines: tuple[str, ...]
    timeout_s: int
    working_dir: str


def read_plan(payload: str) -> tuple[Step, ...]:
    """Return the scripts of a command, in order; refuse the whole command if any part of it is not right."""
    try:
        command = json.loads(payload)
        document, given = command["DocumentContent"], command.get("Parameters") or {}
        steps, declared = document["mainSteps"], document.get("parameters") or {}
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedDocumentError("Encountered error while parsing input - internal error") from error
    if document.get("schemaVersion") != SCHEMA_VERSION:
        raise RefusedDocumentError(f"Document with schema version {document.get('schemaVersion')} is not supported")
    values = {name: given.get(name, it.get("default")) for name, it in declared.items()}
    values = {name: value for name, value in values.items() if value is not None}
    for name, value in values.items():
        _check_value(name, value, declared[name])
    return tuple(_read_step(step, values) for step in steps)


def substitute(text: str, values: Mapping[str, Any]) -> Any:
    """Put parameter values where the text names them as {{ Name }}; a text that is only a name becomes the value."""
    for name, value in values.items():
        if re.fullmatch(rf"{{{{\s*{re.escape(name)}\s*}}}}", text):
            return value
    for name, value in values.items():
        written = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        text = written.join(re.split(rf"{{{{\s*{re.escape(name)}\s*}}}}", text))
    return text


def _check_value(name: str, value: Any, declaration: Mapping[str, Any]) -> None:
    pattern, allowed = declaration.get("allowedPattern"), declaration.get("allowedValues")
    for item in value if isinstance(value, list) else [value]:
        text = item if isinstance(item, str) else json.dumps(item)
        if allowed and text not in allowed:
            raise _not_valid("AllowedValueParamValidator", name, f"parameter value /{text}/ is not in the allowed list")
        if pattern and not _fits(name, pattern, text):
            raise _not_valid(
                "AllowedRegexParamValidator",
                name,
                f"parameter value /{text}/ does not match the allowed pattern /{pattern}/",
            )


def _fits(name: str, pattern: str, text: str) -> bool:
    try:
        return matches(pattern, text)
    except PatternError as error:
        sentence = f"encountered error while compiling allowed pattern - internal error: {error}"
        raise _not_valid("AllowedRegexParamValidator", name, sentence) from error


def _not_valid(validator: str, name: str, sentence: str) -> RefusedDocumentError:
    return RefusedDocumentError(
        f"all errors during param validation errors: error thrown in '{validator}' "
        f"while validating parameter /{name}/: {sentence}"
    )


def _read_step(step: Mapping[str, Any], values: Mapping[str, Any]) -> Step:
    if step.get("action") != SHELL_ACTION:
        raise RefusedDocumentError(
            f"Plugin with name {step.get('action')} is not supported by this version of the agent"
        )
    inputs = step.get("inputs") or {}
    lines = _flatten(inputs.get("runCommand"), values)
    timeout = inputs.get("timeoutSeconds")
    return Step(
        name=str(step["name"]),
        lines=tuple(lines),
        timeout_s=step_timeout_s(substitute(timeout, values) if isinstance(timeout, str) else timeout),
        working_dir=str(substitute(str(inputs.get("workingDirectory") or ""), values)),
    )


def _flatten(command: Any, values: Mapping[str, Any]) -> list[str]:
    if isinstance(command, str):
        replaced = substitute(command, values)
        return [replaced] if isinstance(replaced, str) else _flatten(replaced, {})
    if isinstance(command, list):
        return [line for item in command for line in _flatten(item, values)]
    raise RefusedDocumentError("Invalid format in plugin properties: runCommand must be a list of lines")
