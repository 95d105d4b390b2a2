"""`AWS::SSM::Document` for the emulator's CloudFormation, which refuses a whole stack over it otherwise.

The document itself belongs to the local SSM.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

from local.cloud import emulator

RESOURCE_TYPE = "AWS::SSM::Document"
NAME_LIMIT = 128


class Documents(Protocol):
    """Where Command documents live."""

    def put_document(self, name: str, content: Any, tags: dict[str, str]) -> None:
        """Create a document, or make this content its new default version."""

    def delete_document(self, name: str) -> None:
        """Forget a document; one that is gone already is fine."""


def register(documents: Documents) -> None:
    """Let templates hold Command documents."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        name = str(properties.get("Name") or _generated_name(stack_name, logical_id))
        documents.put_document(name, properties["Content"], _tags(properties))
        return name, {}

    def update(
        physical_id: str, _old: dict[str, Any], new: dict[str, Any], _stack_name: str
    ) -> tuple[str, dict[str, Any]]:
        documents.put_document(physical_id, new["Content"], _tags(new))
        return physical_id, {}

    def delete(physical_id: str, _properties: dict[str, Any]) -> None:
        documents.delete_document(physical_id)

    emulator.register_resource_type(RESOURCE_TYPE, create, update, delete)


def _generated_name(stack_name: str, logical_id: str) -> str:
    """Stable for one resource, so that a fresh emulator gives the document the name it had."""
    suffix = hashlib.sha256(f"{stack_name}:{logical_id}".encode()).hexdigest()[:12].upper()
    return f"{stack_name}-{logical_id}"[: NAME_LIMIT - len(suffix) - 1] + f"-{suffix}"


def _tags(properties: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
