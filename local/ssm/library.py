"""The account's Command documents, and the tags of documents and machines."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from local.ssm.access import Access, request_tag_context, tag_context
from local.ssm.documents import parse_document
from local.ssm.errors import SsmError, ValidationError
from local.ssm.model import Document, JsonObject, ManagedInstance
from local.ssm.request import Request
from local.ssm.store import Store
from local.ssm.views import document_view, tag_list

TAGGED_TYPES = ("Document", "ManagedInstance")


class Library:
    """The operations on documents and tags."""

    def __init__(self, store: Store, access: Access, *, clock: Callable[[], float], account_id: str) -> None:
        self._store = store
        self._access = access
        self._clock = clock
        self._account_id = account_id

    def put(self, name: str, content: str | Mapping[str, Any], tags: Mapping[str, str] | None = None) -> Document:
        """Create a document or give it a new version; the same content again changes nothing. Decides no rights."""
        parsed = parse_document(content)
        old = self._store.find(Document, name)
        kept_tags = dict(tags) if tags is not None else (old.tags if old else {})
        if old and (old.content, old.tags) == (parsed, kept_tags):
            return old
        document = Document(
            name, parsed, old.version + 1 if old else 1, old.created_at if old else self._clock(), kept_tags
        )
        self._store.commit([document])
        return document

    def remove(self, name: str) -> None:
        """Delete a document, if there is one. Decides no rights."""
        document = self._store.find(Document, name)
        if document is not None:
            self._store.commit(deletes=[document])

    def document(self, name_or_arn: str) -> Document:
        """Return a document by its name or ARN, or refuse."""
        document = self._store.find(Document, name_or_arn.rsplit("document/", 1)[-1])
        if document is None:
            raise SsmError("InvalidDocument", f"Document with name {name_or_arn} does not exist.")
        return document

    def create(self, request: Request) -> JsonObject:
        """CreateDocument."""
        name, tags = request.text("Name"), request.tags()
        self._access.require(
            request.caller, "ssm:CreateDocument", self._access.arn("document", name), request_tag_context(tags)
        )
        if request.text("DocumentType", "Command") != "Command" or request.text("DocumentFormat", "JSON") != "JSON":
            raise ValidationError("Only Command documents in JSON are served.")
        if self._store.find(Document, name) is not None:
            raise SsmError("DocumentAlreadyExists", "The specified document already exists.")
        return {"DocumentDescription": document_view(self.put(name, request.text("Content"), tags), self._account_id)}

    def update(self, request: Request) -> JsonObject:
        """UpdateDocument: the new version is the default one at once."""
        document = self._allowed(request, "ssm:UpdateDocument")
        if parse_document(request.text("Content")) == document.content:
            raise SsmError("DuplicateDocumentContent", "The content of the association document matches another one.")
        updated = self.put(document.name, request.text("Content"))
        return {"DocumentDescription": document_view(updated, self._account_id)}

    def delete(self, request: Request) -> JsonObject:
        """DeleteDocument."""
        self.remove(self._allowed(request, "ssm:DeleteDocument").name)
        return {}

    def get(self, request: Request) -> JsonObject:
        """GetDocument."""
        document = self._allowed(request, "ssm:GetDocument")
        return {
            "Name": document.name,
            "CreatedDate": document.created_at,
            "DocumentVersion": str(document.version),
            "Status": "Active",
            "Content": json.dumps(document.content),
            "DocumentType": "Command",
            "DocumentFormat": "JSON",
        }

    def describe(self, request: Request) -> JsonObject:
        """DescribeDocument."""
        return {"Document": document_view(self._allowed(request, "ssm:DescribeDocument"), self._account_id)}

    def add_tags(self, request: Request) -> JsonObject:
        """AddTagsToResource."""
        tags = request.tags()
        resource = self._taggable(request, "ssm:AddTagsToResource", tags)
        self._store.commit([replace(resource, tags={**resource.tags, **tags})])
        return {}

    def remove_tags(self, request: Request) -> JsonObject:
        """RemoveTagsFromResource."""
        resource = self._taggable(request, "ssm:RemoveTagsFromResource", {})
        gone = request.texts("TagKeys")
        self._store.commit([replace(resource, tags={k: v for k, v in resource.tags.items() if k not in gone})])
        return {}

    def list_tags(self, request: Request) -> JsonObject:
        """ListTagsForResource."""
        return {"TagList": tag_list(self._taggable(request, "ssm:ListTagsForResource", {}).tags)}

    def _allowed(self, request: Request, action: str) -> Document:
        name = request.text("Name").rsplit("document/", 1)[-1]
        known = self._store.find(Document, name)
        context = tag_context(known.tags if known else {})
        self._access.require(request.caller, action, self._access.arn("document", name), context)
        return self.document(name)

    def _taggable(self, request: Request, action: str, new_tags: dict[str, str]) -> Document | ManagedInstance:
        name, is_document = request.text("ResourceId"), request.text("ResourceType") == "Document"
        resource = self._store.find(Document, name) if is_document else self._store.find(ManagedInstance, name)
        arn = self._access.arn("document" if is_document else "managed-instance", name)
        context = {**tag_context(resource.tags if resource else {}), **request_tag_context(new_tags)}
        self._access.require(request.caller, action, arn, context)
        if resource is None:
            raise SsmError("InvalidResourceId", "The resource ID is not valid.")
        return resource
