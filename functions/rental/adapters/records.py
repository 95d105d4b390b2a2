"""Domain values as plain records and back: one rule for every dataclass, so that no field is forgotten.

A record is made of dicts, lists, strings, integers, booleans and None, as DynamoDB and JSON keep them. Fields that
this version does not know stay in `extra` and are written back untouched.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_record(value: Any) -> Any:
    """The value as a record; `extra` is laid under the known fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        known = {
            each.name: to_record(getattr(value, each.name))
            for each in dataclasses.fields(value)
            if each.name != "extra"
        }
        return {**getattr(value, "extra", {}), **known}
    if isinstance(value, Mapping):
        return {str(key): to_record(each) for key, each in value.items()}
    if isinstance(value, (tuple, list, frozenset)):
        return [to_record(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def from_record(kind: type[T], record: Mapping[str, Any]) -> T:
    """The dataclass `kind` from a record; a missing field takes its default. Raises TypeError or ValueError."""
    fields: dict[str, Any] = _fields(kind)  # type: ignore[arg-type]
    known = {name: _load(hint, record[name]) for name, hint in fields.items() if name in record}
    if "extra" in fields:
        known["extra"] = {name: value for name, value in record.items() if name not in fields}
    return kind(**known)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def _load(hint: Any, value: Any) -> Any:
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (each for each in get_args(hint) if each is not type(None))
        return None if value is None else _load(inner, value)
    if origin is Literal:
        return _one_of(get_args(hint), value)
    if origin is tuple:
        return tuple(_load(get_args(hint)[0], each) for each in value)
    if origin is not None and issubclass(origin, Mapping):
        key, inner = get_args(hint)
        return {_load_key(key, name): _load(inner, each) for name, each in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_record(hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint in (int, str, bool) and type(value) is not hint:
        raise TypeError(f"{str(value)[:40]!r} is not of type {hint.__name__}")
    return value


def _one_of(allowed: tuple[Any, ...], value: Any) -> Any:
    if not any(value == each and type(value) is type(each) for each in allowed):  # to Python, True is 1
        raise ValueError(f"{str(value)[:40]!r} is none of {allowed}")
    return value


def _load_key(hint: Any, name: str) -> Any:
    return int(name) if getattr(hint, "__supertype__", hint) is int else name
