"""Records as DynamoDB's typed values and back. Records hold texts, integers, booleans, None, lists and mappings only.

The library's own converter would do, but it comes with all of boto3: see `docs/decisions/0004-short-cold-starts.md`.
"""

from collections.abc import Mapping
from typing import Any

Typed = dict[str, Any]


def dump_value(value: Any) -> Typed:
    """Raises TypeError for what no record holds."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case Mapping():
            return {"M": {name: dump_value(each) for name, each in value.items()}}
        case list():
            return {"L": [dump_value(each) for each in value]}
        case _:
            raise TypeError(f"a record holds no {type(value).__name__}")


def load_value(typed: Mapping[str, Any]) -> Any:
    """Raises TypeError for what no record holds, ValueError for a number that is not an integer."""
    ((kind, value),) = typed.items()
    match kind:
        case "NULL":
            return None
        case "S" | "BOOL":
            return value
        case "N":
            return int(value)
        case "M":
            return {name: load_value(each) for name, each in value.items()}
        case "L":
            return [load_value(each) for each in value]
        case _:
            raise TypeError(f"a record holds no value of DynamoDB's type {kind}")
