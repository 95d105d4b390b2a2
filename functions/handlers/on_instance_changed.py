"""A host says that something changed: observe it now."""

from typing import Any

from handlers.reports import take_report


def handler(event: dict[str, Any], _context: Any) -> None:
    take_report(event["detail"])
