"""Joins the emulator with the local cloud's own parts: tables for the journal, identities for the local SSM."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from local.cloud import document_resource, emulator, kms_keys
from local.cloud.asgi import App
from local.cloud.journal import Item, Key
from local.cloud.sessions import RoleSessions
from local.cloud.settings import ACCOUNT_ID, REGION, CloudSettings
from local.ssm.asgi import SsmMiddleware
from local.ssm.nodes import IssuedCredentials
from local.ssm.service import SsmService
from local.ssm.sigv4 import Caller, HmacVerifier, KnownKey


class EmulatorTables:
    """The emulator's tables as the journal sees them."""

    def key_names(self, table: str) -> tuple[str, ...] | None:
        """The key attributes, or None when there is no such table."""
        keys = emulator.table_keys(table)
        return keys.names if keys else None

    def read_item(self, table: str, key: Key) -> Item | None:
        """The item as it is now."""
        return emulator.read_item(table, key)


class SsmDocuments:
    """The local SSM's documents as CloudFormation sees them."""

    def __init__(self, service: SsmService) -> None:
        self._service = service

    def put_document(self, name: str, content: Any, tags: dict[str, str]) -> None:
        """Create a document, or make this content its new default version."""
        self._service.put_document(name, content, tags)

    def delete_document(self, name: str) -> None:
        """Forget a document; one that is gone already is fine."""
        self._service.remove_document(name)


def with_local_ssm(app: App, settings: CloudSettings) -> App:
    """Mount the local SSM before the emulator; users, sessions and policies are the emulator's."""
    sessions = RoleSessions(settings.state / "sessions.json", time.time)
    sessions.restore()
    service = SsmService(
        settings.state / "ssm.jsonl",
        account_id=ACCOUNT_ID,
        region=REGION,
        authorize=_is_allowed,
        issue_credentials=lambda role, instance_id: _issue(sessions, role, instance_id),
        emit=emulator.put_aws_event,
    )
    document_resource.register(SsmDocuments(service))
    kms_keys.register(kms_keys.KmsKeys(settings.state / "kms.json"))
    return SsmMiddleware(app, service, HmacVerifier(_known_key, time.time))


def _is_allowed(caller: Caller, action: str, resource: str, context: Mapping[str, str]) -> bool:
    return emulator.is_allowed(caller.access_key_id, action, resource, REGION, context)


def _known_key(access_key_id: str) -> KnownKey | None:
    found = emulator.find_key(access_key_id)
    return KnownKey(found.arn, found.secret, found.session_token, found.expires_at) if found else None


def _issue(sessions: RoleSessions, role_name: str, instance_id: str) -> IssuedCredentials:
    session = sessions.open(role_name, instance_id)
    return IssuedCredentials(session.access_key, session.secret_key, session.token, session.expires_at)
