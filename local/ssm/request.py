"""One call as it arrived, and typed reading of its fields."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from local.ssm.errors import ValidationError
from local.ssm.model import JsonObject
from local.ssm.sigv4 import Caller

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Request:
    """A call: who, what, and the raw parts a signature covers."""

    operation: str
    headers: Mapping[str, str]
    body: bytes
    fields: JsonObject
    caller: Caller | None

    def text(self, name: str, default: str | None = None) -> str:
        """Read a string field; without a default it is required."""
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise ValidationError(f"{name} must be a string")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Read a whole number within bounds."""
        value = self.fields.get(name, default)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValidationError(f"{name} must be a number from {low} to {high}")
        return value

    def time(self, name: str, default: float) -> float:
        """Read a time: epoch seconds or ISO 8601."""
        value = self.fields.get(name, default)
        try:
            return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)
        except (TypeError, ValueError) as error:
            raise ValidationError(f"{name} must be a time") from error

    def texts(self, name: str) -> list[str]:
        """Read a list of strings, empty if absent."""
        value = self.fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValidationError(f"{name} must be a list of strings")
        return value

    def mapping(self, name: str) -> JsonObject:
        """Read an object field, empty if absent."""
        value = self.fields.get(name) or {}
        if not isinstance(value, dict):
            raise ValidationError(f"{name} must be an object")
        return value

    def tags(self, name: str = "Tags") -> dict[str, str]:
        """Read a list of tags."""
        try:
            return {str(tag["Key"]): str(tag["Value"]) for tag in self.fields.get(name) or []}
        except (TypeError, KeyError) as error:
            raise ValidationError(f"{name} must be a list of Key and Value") from error

    def filters(self) -> dict[str, list[str]]:
        """Read the filters of a Describe call, in either of their two spellings."""
        given = self.fields.get("Filters") or self.fields.get("InstanceInformationFilterList") or []
        try:
            return {_filter_key(item): _filter_values(item) for item in given}
        except (TypeError, KeyError) as error:
            raise ValidationError("Filters must be a list of Key and Values") from error

    def page(self, name: str, items: list[ItemT], default_size: int = 50) -> dict[str, Any]:
        """Cut the page that this call asks for out of all items."""
        size = self.integer("MaxResults", default_size, 1, 50)
        token = self.text("NextToken", "0")
        start = int(token) if token.isdigit() else 0
        answer: dict[str, Any] = {name: items[start : start + size]}
        return {**answer, "NextToken": str(start + size)} if start + size < len(items) else answer


def parse_fields(body: bytes) -> JsonObject:
    """Read a body; an empty one is an empty object."""
    try:
        fields = json.loads(body) if body else {}
    except ValueError as error:
        raise ValidationError("The request is not valid JSON") from error
    if not isinstance(fields, dict):
        raise ValidationError("The request must be a JSON object")
    return fields


def _filter_key(item: JsonObject) -> str:
    return str(item.get("Key") or item.get("FilterKey") or item["key"])


def _filter_values(item: JsonObject) -> list[str]:
    return list(item.get("Values") or item.get("FilterValues") or item.get("valueSet") or item["ValueSet"])
